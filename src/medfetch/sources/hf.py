"""Datasets of the Hugging Face Hub at one commit, with the checksums that its tree tells.

It must not know where the bytes of a file lie: its address at the Hub leads there, and the token stays at the Hub.
Protocol: what huggingface_hub 1.33.0 asks; the texts of refusals as recorded in public guides (read 2026-11-20).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from medfetch import checksum
from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.types import About, Checksum, Door, RemoteFile, Selection, Traits, Verdict

SITE = "https://huggingface.co"
CREDENTIAL = "hf"
DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
LATEST = "main"


@dataclass(frozen=True, slots=True)
class Dataset:
    id: str
    revision: str
    """A branch, a tag or a commit."""

    def api(self, net: Net, what: str) -> str:
        return f"{net.endpoint('hf')}/api/datasets/{self.id}/{what}"

    @property
    def page(self) -> str:
        """Where a person reads about it, and asks for access."""
        return f"{SITE}/datasets/{self.id}"


class HuggingFace:
    """Locator: ``dataset``, ``owner/name``; ``revision``, a commit, tag or branch, without which the newest commit is
    taken; ``path``, patterns of files or folders, without which all is taken. What comes is always of one commit, which
    the plan holds."""

    name: ClassVar[str] = "hf"
    traits: ClassVar[Traits] = Traits(endpoints={"hf": SITE}, connections=8, logins=(CREDENTIAL,))

    def locate(self, text: str) -> dict[str, Any]:
        dataset, at, revision = text.removeprefix(f"{SITE}/datasets/").partition("@")
        if not DATASET.fullmatch(dataset) or bool(at) != bool(revision):
            raise UsageProblem(f"{text!r} is no dataset of the Hub; expected hf:owner/name or hf:owner/name@revision")
        return {"dataset": dataset, "revision": revision} if revision else {"dataset": dataset}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        patterns = strings(locator, "path", self.name)
        dataset = _dataset(locator)
        credential = CREDENTIAL if net.has(CREDENTIAL) else None
        answer = _commit(dataset, net, credential)
        if isinstance(answer, Verdict):
            raise closed(answer, f"hf-{dataset.id}")
        for row in _tree(dataset, answer, net, credential):
            if row["type"] == "file" and wanted(row["path"], patterns):
                yield _file(dataset, answer, row, net, credential)

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        dataset = _dataset(locator)
        credential = CREDENTIAL if net.has(CREDENTIAL) else None
        answer = _commit(dataset, net, credential)
        if isinstance(answer, Verdict):
            return answer
        return Verdict(Door.OPEN, f"{dataset.id} is open to {'this token' if credential else 'all'}", dataset.page)

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        dataset = _dataset(locator)
        credential = CREDENTIAL if net.has(CREDENTIAL) else None
        told = _json(net.get(dataset.api(net, f"revision/{quote(dataset.revision, safe='')}"), credential=credential))
        if not isinstance(told, dict):
            raise Retryable(f"the Hub did not say what {dataset.id} is")
        card = told.get("cardData") or {}
        licence = card.get("license_name") or card.get("license")
        licence = licence[0] if isinstance(licence, list) and licence else licence
        commit = told.get("sha")
        return About(
            name=card.get("pretty_name") or dataset.id.partition("/")[2],
            summary=told.get("description"),
            version=str(commit)[:7] if commit else None,
            licence=licence if isinstance(licence, str) else None,
            licence_url=card.get("license_link"),
            homepage=dataset.page,
            pins={"revision": commit} if commit else {},
        )


def _dataset(locator: Mapping[str, Any]) -> Dataset:
    only(locator, {"dataset", "revision", "path"}, "hf")
    dataset = text(locator, "dataset", "hf") or ""
    if not DATASET.fullmatch(dataset):
        raise RecipeError(f"expected owner/name, not {dataset!r}", at="hf.dataset")
    return Dataset(dataset, text(locator, "revision", "hf") or LATEST)


# -- what it has, and whether this person may have it ---------------------------------------------------------------


def _commit(dataset: Dataset, net: Net, credential: str | None) -> str | Verdict:
    """The commit that a revision means now; or why the files are not to be had.

    Lists of gated datasets are open to all, so the gate itself is asked.
    """
    gate = None
    try:
        revision = quote(dataset.revision, safe="")
        about = _json(net.get(dataset.api(net, f"revision/{revision}"), credential=credential))
        commit = about.get("sha") if isinstance(about, dict) else None
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise Retryable(f"the Hub did not say which commit of {dataset.id} is {dataset.revision!r}")
        if gate := about.get("gated"):
            net.get(dataset.api(net, "auth-check"), credential=credential)
        return commit
    except Refused as error:
        verdict = _verdict(dataset, error, credential, gate)
        if verdict is None:
            raise
        return verdict


def _verdict(dataset: Dataset, error: Refused, credential: str | None, gate: object) -> Verdict | None:
    """What a refusal means; None where it is of another kind.

    ``gate`` is "auto", which opens for whoever agrees to the conditions, or "manual", for whom the authors approve.
    """
    said = error.message
    match error.status:
        case 401 if credential:
            return Verdict(Door.WRONG_LOGIN, "the Hub does not accept this token", f"{SITE}/settings/tokens")
        case 401 if "is restricted" in said:
            do = f"{dataset.id} is gated: ask for access on its page, make a token and run medfetch login hf"
            return Verdict(Door.NO_LOGIN, do, dataset.page)
        case 401:
            # The Hub answers so to keep private names private.
            do = f"{dataset.id} is not there, or it is private: those who may have it need a token (medfetch login hf)"
            return Verdict(Door.UNCLEAR, do, dataset.page)
        case 403 if "awaiting a review" in said:
            return Verdict(
                Door.PENDING, f"the authors of {dataset.id} have not decided on the request yet", dataset.page
            )
        case 403 if "been rejected" in said:
            return Verdict(Door.NOT_APPROVED, f"the authors of {dataset.id} rejected the request", dataset.page)
        case 403 if "resource is disabled" in said:
            return Verdict(Door.ABSENT, f"the Hub has disabled {dataset.id}: nobody can have it there", dataset.page)
        case 403 if gate == "auto":
            do = f"agree to the conditions of {dataset.id} on its page, which opens it at once; a fine-grained token"
            return Verdict(Door.RULES, f"{do} must also be allowed to read it", dataset.page)
        case 403:
            do = f"ask for access to {dataset.id} on its page; a fine-grained token must also be allowed to read it"
            return Verdict(Door.NOT_APPROVED, do, dataset.page)
        case 404:
            do = f"the Hub has no {dataset.id} with a revision {dataset.revision!r}, or not for this token"
            return Verdict(Door.ABSENT, do, dataset.page)
    return None


# -- files ---------------------------------------------------------------------------------------------------------


def _tree(dataset: Dataset, commit: str, net: Net, credential: str | None) -> Iterator[dict[str, Any]]:
    """Files and folders, page by page. Raises: Retryable where it is no tree, or does not end."""
    address = dataset.api(net, f"tree/{commit}")
    query = "recursive=true&expand=false"
    while query:
        answer = net.get(f"{address}?{query}", credential=credential)
        rows = _json(answer)
        if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
            raise Retryable(f"the Hub did not answer with the tree of {dataset.id}")
        yield from rows
        # Of the link only what it asks for: a mirror may pass on links that lead past it.
        further = urlsplit(answer.links.get("next", {}).get("url", "")).query
        if further == query:
            raise Retryable(f"the Hub answers the same page of the tree of {dataset.id} again and again")
        query = further


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and {"type", "path", "oid", "size"} <= set(row)


def _file(dataset: Dataset, commit: str, row: Mapping[str, Any], net: Net, credential: str | None) -> RemoteFile:
    path, size, large = relative(row["path"]), row["size"], row.get("lfs")
    # What the tree tells of large files is their content's SHA-256, of small ones git's own id of them.
    digest = Checksum("sha256", str(large["oid"]).lower()) if large else checksum.git_blob(row["oid"], size)
    address = f"{net.endpoint('hf')}/datasets/{dataset.id}/resolve/{commit}/{quote(path)}"
    return RemoteFile(
        path=path, key=str(digest), urls=(address,), size=size, checksums=(digest,), credential=credential
    )


def _json(answer: Any) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
