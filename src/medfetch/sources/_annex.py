"""What git-annex writes down: what a key says of its content, and where the content is to be had.

It must not know hosts, nor git. Read in git-annex's own documentation (internals, internals/key_format,
internals/hashing) and compared with what ``git annex examinekey`` and ``git annex whereis`` say.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from medfetch import checksum
from medfetch.types import Checksum

KEY = re.compile(r"(?P<backend>[A-Z0-9_]+)(?:-s(?P<size>[0-9]+))?(?:-m[0-9]+)?(?:-S[0-9]+-C[0-9]+)?--(?P<name>.+)")


def size(key: str) -> int | None:
    """Bytes; None where the key does not tell."""
    found = KEY.fullmatch(key)
    return int(found["size"]) if found and found["size"] else None


def checksums(key: str) -> tuple[Checksum, ...]:
    """The digest in a key of a hash, such as ``MD5E-s1024--….nii.gz``; none in those of names, dates and addresses."""
    found = KEY.fullmatch(key)
    algorithm = found["backend"].removesuffix("E").lower() if found else ""
    digest = found["name"].partition(".")[0].lower() if found else ""
    if checksum.HEX_LENGTH.get(algorithm) != len(digest) or not re.fullmatch("[0-9a-f]+", digest):
        return ()
    return (Checksum(algorithm, digest),)


# -- where content lies ----------------------------------------------------------------------------------------------

ESCAPES = {"&a": "&", "&s": "%", "&c": ":", "%": "/"}
"""How a key is written where it is a file's name."""
LETTERS = "0123456789zqjxkmvwgpfZQJXKMVWGPF"
"""In the names of the folders that git-annex calls mixed."""
VERSION = re.compile(r"(?P<uuid>[0-9a-f-]{36}):V (?P<values>.+)")


def linked(data: bytes | None, *, link: bool) -> str | None:
    """The key that a symbolic link, or the small file that stands for an unlocked one, is of; None where it is none."""
    line = (data or b"")[:4096].split(b"\n")[0].decode("utf-8", "surrogateescape")
    folder, _, name = line.rpartition("/")
    if not (".git/annex/objects/" in f"{folder}/" if link else folder == "/annex/objects"):
        return None
    return re.sub("&[asc]|%", lambda found: ESCAPES[found[0]], name) if KEY.fullmatch(name) else None


def as_name(key: str) -> str:
    """A key as the name of a file."""
    return re.sub("[&%:/]", lambda found: {sign: code for code, sign in ESCAPES.items()}[found[0]], key)


def lower(key: str) -> str:
    """The folder of a key in the branch ``git-annex``, and in repositories without a checkout."""
    digest = _hash(key).hex()
    return f"{digest[:3]}/{digest[3:6]}"


def mixed(key: str) -> str:
    """The folder of a key in repositories with a checkout."""
    word = int.from_bytes(_hash(key)[:4], "little")
    first, second, third, fourth = (LETTERS[word >> 6 * at & 31] for at in range(4))
    return f"{second}{first}/{fourth}{third}"


def _hash(key: str) -> bytes:
    return hashlib.md5(key.encode("utf-8", "surrogateescape"), usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class Places:
    """What the branch ``git-annex`` says of where content is to be had by HTTP; nothing by default."""

    logs: Mapping[str, str]
    """Its files by their paths."""
    remotes: Mapping[str, Mapping[str, str]]
    """Those of ``remote.log`` that are not dead, with what is configured of each, by uuid."""

    @classmethod
    def read(cls, logs: Mapping[str, str]) -> Places:
        dead = {uuid for uuid, (trust, _) in _newest(logs.get("trust.log", "")).items() if trust == "X"}
        remotes = {}
        for line in logs.get("remote.log", "").splitlines():
            uuid, *words = line.split()
            if uuid not in dead:
                remotes[uuid] = dict(word.split("=", 1) for word in words if "=" in word)
        return cls(logs, remotes)

    def of(self, key: str, path: str) -> Iterator[str]:
        """Addresses of a key's content, which has this path in the repository; the surest first."""
        yield from self.versions(key, path)
        yield from self._web(self._log(key, "web"))
        for remote in self.remotes.values():
            public, prefix = remote.get("publicurl", ""), remote.get("fileprefix", "")
            if remote.get("type") == "S3" and _is_web(public) and remote.get("encryption", "none") == "none":
                name = path if remote.get("exporttree") == "yes" else as_name(key)
                yield f"{public.rstrip('/')}/{quote(prefix + name)}"
            elif remote.get("type") == "git" and _is_web(remote.get("location", "")):
                yield from stored(remote["location"], key)

    def _log(self, key: str, kind: str) -> str:
        return self.logs.get(f"{lower(key)}/{as_name(key)}.log.{kind}", "")

    def versions(self, key: str, path: str) -> Iterator[str]:
        """Those of a bucket that keeps versions, as an export of the tree left them; that of this very path first."""
        found = {}
        for line in self._log(key, "rmet").splitlines():
            told = VERSION.fullmatch(line.partition(" ")[2])
            public = self.remotes.get(told["uuid"], {}).get("publicurl", "") if told else ""
            if told is None or not _is_web(public):
                continue
            for value in told["values"].split():
                plain = value[1:]
                if plain.startswith("!"):
                    plain = base64.b64decode(plain[1:]).decode("utf-8", "replace")
                version, _, name = plain.partition("#")
                if value.startswith("+"):
                    address = f"{public.rstrip('/')}/{quote(name)}?versionId={quote(version, safe='')}"
                    found[address] = not name.endswith(path)
        yield from sorted(found, key=lambda address: found[address])

    def _web(self, log: str) -> Iterator[str]:
        for address, (present, _) in _newest(log, last=True).items():
            # A colon stands before what another program than git-annex itself is to fetch.
            if present == "1" and _is_web(address.removeprefix(":")):
                yield address.removeprefix(":")


def stored(repository: str, key: str) -> Iterator[str]:
    """Where a repository that a web server shows as it is has a key's content, with a checkout and without."""
    name = quote(as_name(key))
    folders = (mixed(key), lower(key)) if repository.rstrip("/").endswith("/.git") else (lower(key), mixed(key))
    for folder in folders:
        yield f"{repository.rstrip('/')}/annex/objects/{folder}/{name}/{name}"


def _newest(log: str, *, last: bool = False) -> dict[str, tuple[str, float]]:
    """What the newest line says of each name: lines are ``NAME VALUE TIME``, or with ``last`` the other way round."""
    found: dict[str, tuple[str, float]] = {}
    for line in log.splitlines():
        words = line.split(" ", 2)
        if len(words) < 3:
            continue
        name, value, when = words if not last else words[::-1]
        seconds = re.search(r"[0-9.]+", when)
        moment = float(seconds[0].rstrip(".")) if seconds else 0.0
        if name not in found or moment >= found[name][1]:
            found[name] = value, moment
    return found


def _is_web(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https")
