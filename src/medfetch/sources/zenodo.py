"""Records of Zenodo, each the files of one version.

It must not know how people are let in. Protocol: what zenodo_get 3.0.0 and pooch 1.9.0 ask and understand.
Zenodo has one more number for all versions together, under which its interface answers with a redirect to the newest,
or not at all (zenodo/zenodo issue 2499): such a number is refused, for it means other files tomorrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from medfetch.errors import Refused, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import number, only, strings
from medfetch.sources._paths import relative
from medfetch.types import About, Door, RemoteFile, Selection, Traits, Verdict

SITE = "https://zenodo.org"
CREDENTIAL = "zenodo"
TOKENS = f"{SITE}/account/settings/applications"
TYPED = re.compile(rf"(?:{SITE}/records?/|(?:doi:)?10\.5281/zenodo\.)?([0-9]+)/?", re.IGNORECASE)


class Zenodo:
    """Locator: ``record``, the number of one version's record; ``path``, patterns of files, without which all are
    taken."""

    name: ClassVar[str] = "zenodo"
    # Zenodo blocked sites with eight connections, and some with four; two were fine (karel-brinda/Phylign#236).
    traits: ClassVar[Traits] = Traits(endpoints={"zenodo": SITE}, connections=2, logins=(CREDENTIAL,))

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found:
            raise UsageProblem(f"{text!r} is no record of Zenodo; expected its number, such as zenodo:4600654")
        return {"record": int(found[1])}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        record, patterns = _locator(locator)
        credential = CREDENTIAL if net.has(CREDENTIAL) else None
        answer = _files(record, net, credential)
        if isinstance(answer, Verdict):
            raise closed(answer, f"zenodo-{record}")
        for row in answer:
            file = _file(record, row, net, credential)
            if wanted(file.path, patterns):
                yield file

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        record, _ = _locator(locator)
        credential = CREDENTIAL if net.has(CREDENTIAL) else None
        answer = _files(record, net, credential)
        if isinstance(answer, Verdict):
            return answer
        return Verdict(Door.OPEN, f"record {record} is open to {'this token' if credential else 'all'}", _page(record))

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        record, _ = _locator(locator)
        credential = CREDENTIAL if net.has(CREDENTIAL) else None
        try:
            answer = net.get(f"{net.endpoint('zenodo')}/api/records/{record}", credential=credential)
        except Refused as error:
            raise closed(_verdict(record, error, credential), f"zenodo-{record}") from error
        told = _answers.told(answer, SITE)
        metadata = told.get("metadata") or {}
        # Of a record that is not the last one of its versions.
        related = (metadata.get("relations") or {}).get("version") or [{}]
        newest = _newest(int(told.get("conceptrecid") or 0), net) if related[0].get("is_last") is False else None
        return About(
            name=metadata.get("title"),
            summary=metadata.get("description"),
            version=metadata.get("version"),
            newest=f"record {newest}" if newest else None,
            licence=(metadata.get("license") or {}).get("id"),
            doi=told.get("doi") or metadata.get("doi"),
            homepage=_page(record),
        )


def _locator(locator: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    only(locator, {"record", "path"}, "zenodo")
    return number(locator, "record", "zenodo"), strings(locator, "path", "zenodo")


def _files(record: int, net: Net, credential: str | None) -> list[Mapping[str, Any]] | Verdict:
    """The files of a record, in the order of their names; or why they are not to be had.

    Raises: UsageProblem where the number is that of all versions.
    """
    try:
        about = _answers.told(net.get(f"{net.endpoint('zenodo')}/api/records/{record}", credential=credential), SITE)
    except Refused as error:
        if error.status == 404 and (newest := _newest(record, net)):
            raise _all_versions(record, newest) from None
        return _verdict(record, error, credential)
    if str(about.get("id")) != str(record):
        raise _all_versions(record, about.get("id"))
    files = about.get("files")
    # Of a record whose files this person may not have, none are told.
    return sorted(files, key=_name) if files else _without_files(record, about.get("metadata") or {}, credential)


def _newest(record: int, net: Net) -> int | None:
    """The newest version of the record that a number for all versions stands for; None if it is no such number."""
    asked = {"q": f"conceptrecid:{record}", "sort": "mostrecent", "size": "1"}
    try:
        found = _answers.told(net.get(f"{net.endpoint('zenodo')}/api/records", asked), SITE)["hits"]["hits"]
        return int(found[0]["id"]) if found else None
    except (Refused, KeyError, TypeError, ValueError):
        return None


def _all_versions(record: int, newest: Any) -> UsageProblem:
    hint = f"the newest version is zenodo:{newest}; {SITE}/records/{newest} lists the others"
    return UsageProblem(f"{record} is Zenodo's number for all versions of a record together", hint=hint)


def _without_files(record: int, metadata: Mapping[str, Any], credential: str | None) -> Verdict:
    right = str(metadata.get("access_right") or "open")
    if right == "open":
        return Verdict(Door.ABSENT, f"the record {record} of Zenodo has no files", _page(record))
    until = f" until {metadata['embargo_date']}" if metadata.get("embargo_date") else ""
    said = f"the files of the record {record} are {right}{until}: ask for access on its page"
    if right == "restricted" and not credential:
        said += ", then make a token with your account and keep it with medfetch login zenodo"
        return Verdict(Door.NO_LOGIN, said, _page(record))
    return Verdict(Door.NOT_APPROVED, said, _page(record))


def _verdict(record: int, error: Refused, credential: str | None) -> Verdict:
    """What a refusal means. Raises: the error itself where it is of another kind."""
    match error.status:
        case 401 if credential:
            return Verdict(Door.WRONG_LOGIN, "Zenodo does not know your token: it is wrong or was deleted", TOKENS)
        case 401:
            return Verdict(Door.NO_LOGIN, f"Zenodo wants a log-in for the record {record}", TOKENS)
        case 403 if "Permission denied" in error.message:
            said = (
                f"the record {record} is restricted: ask whoever shared it for access, or use the token of an account"
            )
            return Verdict(Door.NOT_APPROVED if credential else Door.NO_LOGIN, f"{said} that has it", _page(record))
        case 403:
            # Programs were blocked by their names, with a page in place of JSON (fatiando/pooch issue 502).
            said = "Zenodo does not let this program in. It asks programs for a name with an address where somebody can"
            said += " be reached: set user_agent to one such as medfetch/1.0 (+https://your.site; you@your.site)"
            return Verdict(Door.AGENT, said, "https://developers.zenodo.org/")
        case 404:
            return Verdict(Door.ABSENT, f"Zenodo has no record {record}", _page(record))
        case 410:
            return Verdict(Door.ABSENT, f"the record {record} was removed from Zenodo", _page(record))
    raise error


def _name(row: Mapping[str, Any]) -> str:
    """The two spellings that pooch knows, as of its other fields."""
    return str(row.get("key") or row.get("filename"))


def _file(record: int, row: Mapping[str, Any], net: Net, credential: str | None) -> RemoteFile:
    name, size = _name(row), row.get("size", row.get("filesize"))
    algorithm, _, value = str(row.get("checksum") or "").rpartition(":")
    return RemoteFile(
        path=relative(name),
        key=f"zenodo:{record}/{name}",
        urls=(f"{net.endpoint('zenodo')}/api/records/{record}/files/{quote(name)}/content",),
        size=size if isinstance(size, int) else None,
        checksums=_answers.digest(algorithm or "md5", value),
        credential=credential,
    )


def _page(record: int) -> str:
    return f"{SITE}/records/{record}"
