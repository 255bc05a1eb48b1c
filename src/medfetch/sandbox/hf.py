"""What the Hugging Face Hub answers: commits, trees in pages, files, large ones from another origin, gates.

It must not know sockets. Protocol: as huggingface_hub 1.33.0 asks and understands it; what refusals say is what public
guides have recorded.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere

TOKEN = "hf_sandbox"
LARGE = 5000
"""Bytes from which a file is kept by its SHA-256, with another origin; the real Hub starts at some megabytes."""


@dataclass(frozen=True)
class File:
    content: Content
    blob: str
    sha256: str

    @property
    def large(self) -> bool:
        return self.content.size >= LARGE


@dataclass(frozen=True)
class Dataset:
    id: str
    commit: str
    files: Mapping[str, File]
    gated: str | bool
    approved: frozenset[str]
    pending: frozenset[str]
    rejected: frozenset[str]


class Hub(Signing[File]):
    """Datasets, and whose tokens open their gates. ``users`` are names by token; ``page`` is the length of lists;
    ``xet`` says whether large files are offered in chunks, too, as the Hub now does."""

    def __init__(self) -> None:
        super().__init__(life=3600.0)
        self.users: dict[str, str] = {TOKEN: "sandbox"}
        self.page = 1000
        self.xet = False
        self._datasets: dict[str, Dataset] = {}

    def publish(
        self, name: str, files: Mapping[str, bytes | int], *, gated: str | bool = False,
        approved: Collection[str] = (), pending: Collection[str] = (), rejected: Collection[str] = (),
    ) -> tuple[str, dict[str, bytes]]:  # fmt: skip
        """Has a dataset with these files, each its content or so many bytes; returns its commit and all bytes.

        ``gated`` is False, "auto" or "manual"; ``approved``, ``pending`` and ``rejected`` are names of users.
        """
        made = {path: _file(f"{name}/{path}", what) for path, what in sorted(files.items())}
        commit = hashlib.sha1(repr([(path, file.blob) for path, file in made.items()]).encode()).hexdigest()
        people = (frozenset(each) for each in (approved, pending, rejected))
        self._datasets[name] = Dataset(name, commit, made, gated, *people)
        return commit, {path: file.content.whole() for path, file in made.items()}

    def answer(self, request: Request, path: str) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return text("only GET and HEAD\n", 405)
        if path.startswith("storage/"):
            return self._stored(request)
        word, _, token = (request.header("authorization") or "").partition(" ")
        if word and (word.lower() != "bearer" or token not in self.users):
            return _refused(401, None, "Invalid username or password.")
        found = re.fullmatch(r"(?:api/)?datasets/([^/]+/[^/]+)(?:/(.*))?", path)
        dataset = self._datasets.get(found[1]) if found else None
        if found is None or dataset is None:
            if word:
                return _refused(404, "RepoNotFound", "Repository not found")
            return _refused(401, "RepoNotFound", "Invalid username or password.")
        what, _, rest = (found[2] or "").partition("/")
        user = self.users.get(token)
        if path.startswith("datasets/"):
            commit, _, name = rest.partition("/")
            return self._resolved(request, dataset, commit, name, user) if what == "resolve" else text("", 404)
        match what:
            case "" | "revision" | "tree" if rest.partition("/")[0] not in ("", "main", dataset.commit):
                return _refused(404, "RevisionNotFound", f"Invalid rev id: {rest}")
            case "" | "revision":
                return as_json(_about(dataset))
            case "tree":
                return self._tree(request, dataset)
            case "auth-check":
                return _gate(dataset, user) or text("OK")
        return text("Not Found\n", 404)

    def _tree(self, request: Request, dataset: Dataset) -> Answer:
        rows: list[dict[str, object]] = []
        for path, file in dataset.files.items():
            row: dict[str, object] = {"type": "file", "oid": file.blob, "size": file.content.size, "path": path}
            if file.large:
                row["lfs"] = {"oid": file.sha256, "size": file.content.size, "pointerSize": 130}
                row |= {"xetHash": _xet_hash(file)} if self.xet else {}
            rows.append(row)
        folders = sorted({path.rpartition("/")[0] for path in dataset.files} - {""})
        rows = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in folders] + rows
        start = int(request.query.get("cursor", "0"))
        answer = as_json(rows[start : start + self.page])
        if start + self.page >= len(rows):
            return answer
        there = f"http://{request.header('host')}/hf/api/datasets/{dataset.id}/tree/{dataset.commit}"
        link = f'<{there}?recursive=true&expand=false&cursor={start + self.page}>; rel="next"'
        return answer.with_headers({"Link": link})

    def _resolved(self, request: Request, dataset: Dataset, revision: str, path: str, user: str | None) -> Answer:
        if revision not in ("main", dataset.commit):
            return _refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if refusal := _gate(dataset, user):
            return refusal
        file = dataset.files.get(path)
        if file is None:
            return _refused(404, "EntryNotFound", "Entry not found")
        about = {"X-Repo-Commit": dataset.commit, "Accept-Ranges": "bytes"}
        if not file.large:
            return messages.file(file.content, f'"{file.blob}"').with_headers(about)
        expires = round(time.time() + self.life)
        there = f"{elsewhere(request)}/hf/storage/{file.sha256}?Expires={expires}&Signature={self.sign(file)}"
        about |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.content.size), "Location": there}
        if self.xet:
            refresh = f"http://{request.header('host')}/hf/api/datasets/{dataset.id}/xet-read-token/{dataset.commit}"
            about |= {"X-Xet-Hash": _xet_hash(file), "X-Xet-Refresh-Route": refresh}
        return replace(text("Found", 302), headers=about)

    def _stored(self, request: Request) -> Answer:
        file = self.signed(request.query.get("Signature", ""))
        if file is None:
            return text("<Error><Code>AccessDenied</Code></Error>", 403, "application/xml")
        return messages.file(file.content, f'"{file.sha256}"')


def _file(name: str, what: bytes | int) -> File:
    content = Content.noise(what, name) if isinstance(what, int) else Content.of(what)
    blob, sha256 = hashlib.sha1(f"blob {content.size}\0".encode()), hashlib.sha256()
    for piece in content.read(0, content.size):
        blob.update(piece)
        sha256.update(piece)
    return File(content, blob.hexdigest(), sha256.hexdigest())


def _xet_hash(file: File) -> str:
    """What names its chunks; the sandbox has none, so that any will do."""
    return hashlib.sha256(file.sha256.encode()).hexdigest()


def _about(dataset: Dataset) -> dict[str, object]:
    """As far as clients read it."""
    siblings = [
        {
            "rfilename": path, "size": file.content.size, "blobId": file.blob,
            **({"lfs": {"sha256": file.sha256, "size": file.content.size, "pointerSize": 130}} if file.large else {}),
        }
        for path, file in dataset.files.items()
    ]  # fmt: skip
    return {
        "_id": dataset.commit[:24], "id": dataset.id, "author": dataset.id.partition("/")[0], "sha": dataset.commit,
        "lastModified": "2023-01-01T00:00:00.000Z", "createdAt": "2023-01-01T00:00:00.000Z", "private": False,
        "gated": dataset.gated, "disabled": False, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings,
        "cardData": {"license": "cc-by-4.0"},
    }  # fmt: skip


def _gate(dataset: Dataset, user: str | None) -> Answer | None:
    """A refusal, or None."""
    if not dataset.gated or user in dataset.approved:
        return None
    closed = f"Access to dataset {dataset.id} is restricted"
    if user is None:
        said = f"{closed}. You must have access to it and be authenticated to access it. Please log in."
        return _refused(401, "GatedRepo", said)
    if user in dataset.pending:
        said = f"Your request to access dataset {dataset.id} is awaiting a review from the repo authors."
        return _refused(403, "GatedRepo", said)
    if user in dataset.rejected:
        said = f"Your request to access dataset {dataset.id} has been rejected by the repo's authors."
        return _refused(403, "GatedRepo", said)
    page = f"https://huggingface.co/datasets/{quote(dataset.id)}"
    return _refused(
        403, "GatedRepo", f"{closed} and you are not in the authorized list. Visit {page} to ask for access."
    )


def _refused(status: int, code: str | None, said: str) -> Answer:
    headers = {"X-Error-Message": said} | ({"X-Error-Code": code} if code else {})
    return replace(as_json({"error": said}), status=status).with_headers(headers)
