"""PhysioNet's projects: open ones from their mirror at Amazon or from the site, gated ones from the site with a log-in.

It must not know how people are approved. Protocol: PhysioNet's public server code (github.com/MIT-LCP/physionet-build,
read 2026-11-20) and what its own client 0.2.0 asks; ``SHA256SUMS.txt`` of a project is the list of its files.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from medfetch.errors import RecipeError, Refused, Retryable, Unreachable, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import closed, wanted
from medfetch.sources._listing import bucket_address, list_objects, object_address
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.types import About, Checksum, Door, RemoteFile, Selection, Traits, Verdict

SITE = "https://physionet.org"
BUCKET = "physionet-open"
SUMS = "SHA256SUMS.txt"
CREDENTIAL = "physionet"
PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")
PAGE = re.compile(rf"^{re.escape(SITE)}/(?:content|files)/")
"""What the address of a project's page begins with."""
DOI = re.compile(r"10\.13026/\S+")
LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]?(?:\./)?(.+)")
"""The server writes one space, sha256sum two, or a space and an asterisk for binary files."""
FIRST_BYTE = {"Range": "bytes=0-0"}
"""Lists of large projects have tens of megabytes."""


@dataclass(frozen=True, slots=True)
class Project:
    slug: str
    version: str

    @property
    def folder(self) -> str:
        return f"{self.slug}/{self.version}"

    @property
    def page(self) -> str:
        """Where a person reads about it, and signs its agreement."""
        return f"{SITE}/content/{self.folder}/"


class PhysioNet:
    """Locator: ``project``, the last part of its address; ``version``, without which the latest is taken; ``path``,
    patterns of files or folders, without which all is taken. Or ``doi``, of a version or of a project, for the first
    two."""

    name: ClassVar[str] = "physionet"
    traits: ClassVar[Traits] = Traits(
        endpoints={"physionet": SITE, "physionet_s3": "https://{bucket}.s3.amazonaws.com"},
        # The site holds each connection at 40 to 50 KB/s; 8 to 16 are fine, with 24 it let connections time out
        # (Medical-Event-Data-Standard/MIMIC_IV_MEDS, issues 48 and 49).
        connections=8,
        host_connections={f"{BUCKET}.s3.amazonaws.com": 32},
        host_rates={"physionet.org": 45_000},
        patience=120,
        logins=(CREDENTIAL,),
    )

    def locate(self, text: str) -> dict[str, Any]:
        if DOI.fullmatch(text):
            return {"doi": text}
        project, slash, version = PAGE.sub("", text).strip("/").partition("/")
        if not PROJECT.fullmatch(project) or (slash and not VERSION.fullmatch(version)):
            raise UsageProblem(f"{text!r} is no project of PhysioNet; expected physionet:project or …:project/version")
        return {"project": project, "version": version} if version else {"project": project}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        patterns = strings(locator, "path", self.name)
        project = _project(locator, net)
        sums = _mirrored(project, net)
        if sums is not None:
            files = _open(project, sums, net)
        else:
            answer = _from_site(project, net)
            if isinstance(answer, Verdict):
                raise closed(answer, f"physionet-{project.slug}")
            files = _gated(project, *answer, net)
        yield from (file for file in files if wanted(file.path, patterns))

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        try:
            project = _project(locator, net)
        except UsageProblem as error:
            return Verdict(Door.ABSENT, error.message)
        if _mirrored(project, net, FIRST_BYTE) is not None:
            return Verdict(Door.OPEN, f"{project.folder} is open to all", project.page)
        answer = _from_site(project, net, FIRST_BYTE)
        if isinstance(answer, Verdict):
            return answer
        who = "this log-in" if answer[1] else "all"
        return Verdict(Door.OPEN, f"{project.folder} is open to {who}", project.page)

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        project = _project(locator, net)
        base = f"{net.endpoint('physionet')}/api/v1/projects/{quote(project.slug)}/versions/"
        told = _answers.told(net.get(f"{base}{project.version}/"), SITE)
        size = told.get("main_storage_size")
        return About(
            name=told.get("title"),
            summary=told.get("short_description") or told.get("abstract"),
            version=project.version,
            newest=_latest(project.slug, net),
            licence=(told.get("license") or {}).get("name"),
            size=size if isinstance(size, int) else None,
            doi=told.get("doi"),
            homepage=project.page,
            pins={"project": project.slug, "version": project.version},
        )


def _project(locator: Mapping[str, Any], net: Net) -> Project:
    """The project and the version that a locator means.

    Raises: RecipeError for a bad locator; UsageProblem where there is no such project.
    """
    only(locator, {"project", "version", "path", "doi"}, "physionet")
    doi, slug, version = (text(locator, field, "physionet") for field in ("doi", "project", "version"))
    if (doi is None) == (slug is None):
        raise RecipeError("expected either project or doi", at="physionet")
    if doi is not None:
        if version or not DOI.fullmatch(doi):
            raise RecipeError(f"expected a DOI that begins with 10.13026/, and no version beside it, not {doi!r}")
        return _by_doi(doi, net)
    if not PROJECT.fullmatch(slug or ""):
        raise RecipeError(f"{slug!r} cannot be the name of a project", at="physionet.project")
    if version is not None and not VERSION.fullmatch(version):
        raise RecipeError(f"expected a version such as 2.1.0, not {version!r}", at="physionet.version")
    return Project(str(slug), version or _latest(str(slug), net))


def _latest(slug: str, net: Net) -> str:
    try:
        answer = net.get(f"{net.endpoint('physionet')}/api/v1/projects/{quote(slug)}/versions/")
    except Refused as error:
        if error.status == 404:
            raise UsageProblem(f"PhysioNet has no project {slug!r}") from None
        raise
    versions = [row["version"] for row in _rows(answer)]
    if not versions:
        raise UsageProblem(f"PhysioNet has no project {slug!r}")
    return str(max(versions, key=_number))


def _by_doi(doi: str, net: Net) -> Project:
    """The version that has this DOI, or the latest of the project that has it."""
    answer = net.get(f"{net.endpoint('physionet')}/api/v1/projects/published/")
    for field in ("version_doi", "core_doi"):
        found = [row for row in _rows(answer) if str(row.get(field)).casefold() == doi.casefold()]
        if found:
            row = max(found, key=lambda row: _number(row["version"]))
            return Project(row["slug"], row["version"])
    raise UsageProblem(f"PhysioNet has no published project with the DOI {doi}")


def _rows(answer: Any) -> list[dict[str, Any]]:
    try:
        rows = answer.json()
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "version" in row for row in rows):
        raise Retryable("PhysioNet did not answer with a list of projects")
    return rows


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version))


# -- where the list of files is ------------------------------------------------------------------------------------


def _mirrored(project: Project, net: Net, headers: Mapping[str, str] | None = None) -> bytes | None:
    """The list of files of an open project at its mirror; None where it is not there: not all are, and no gated one."""
    try:
        return bytes(net.get(_mirror(project, SUMS, net), headers=headers).content)
    except (Refused, Retryable, Unreachable):
        return None


def _from_site(
    project: Project, net: Net, headers: Mapping[str, str] | None = None
) -> tuple[bytes, str | None] | Verdict:
    """The list of files at the site, and the name of the secret that it took; or why it is not to be had.

    The secret is sent only where it does not go without. Raises: what Net raises.
    """
    answers = []
    for credential in [None, CREDENTIAL] if net.has(CREDENTIAL) else [None]:
        try:
            answer = net.get(_address(project, SUMS, net), headers=headers, credential=credential)
        except Refused as error:
            if error.status == 404:
                return Verdict(Door.ABSENT, f"PhysioNet has no {project.folder}, or no list of its files", project.page)
            if error.status not in (401, 403):
                raise
            answers.append(error.status)
        else:
            return bytes(answer.content), credential
    return _verdict(project, answers)


def _verdict(project: Project, answers: list[int]) -> Verdict:
    """What two refusals mean, without and with a log-in.

    The server asks for a log-in (401) only such programs as it knows by their user agent, and ignores that of others,
    who are always told 403 (``http_auth_allowed`` and ``require_http_auth`` in its public code).
    """
    agent = f"{SITE} lets only programs log in whose user agent it knows; the setting user_agent changes medfetch's"
    match answers:
        case [401]:
            said = f"{project.folder} is not open, and there is no log-in for PhysioNet: run medfetch login physionet"
            return Verdict(Door.NO_LOGIN, said, project.page)
        case [_]:
            said = f"{project.folder} is not open, and there is no log-in for PhysioNet: run medfetch login physionet"
            return Verdict(Door.NO_LOGIN, f"{said}; besides, {agent}", project.page)
        case [_, 401]:
            return Verdict(Door.WRONG_LOGIN, "PhysioNet does not accept this user name and password", f"{SITE}/login/")
        case [401, _]:
            said = (
                f"PhysioNet knows this log-in but does not let it have {project.folder}: credentialing, training or "
                "the project's agreement is missing or has lapsed"
            )
            return Verdict(Door.NOT_APPROVED, said, project.page)
        case _:
            said = f"PhysioNet refuses {project.folder} with and without a log-in: user agent or permission; {agent}"
            return Verdict(Door.AGENT, said, project.page)


# -- files ---------------------------------------------------------------------------------------------------------


def _open(project: Project, sums: bytes, net: Net) -> Iterator[RemoteFile]:
    """The mirror first, which is fast, then the site; a file that the mirror lacks only from the site."""
    yield _list(sums, (_mirror(project, SUMS, net), _address(project, SUMS, net)))
    folder = f"{project.folder}/"
    bucket = bucket_address(net.endpoint("physionet_s3"), BUCKET)
    mirrored = {each.key.removeprefix(folder): each for each in list_objects(net, bucket, folder)}
    for path, digest in _listed(sums, project):
        urls, found = (_address(project, path, net),), mirrored.get(path)
        if found is None:
            yield _file(path, digest, urls)
        else:
            yield _file(path, digest, (_mirror(project, path, net), *urls), size=found.size, etag=found.etag)


def _gated(project: Project, sums: bytes, credential: str | None, net: Net) -> Iterator[RemoteFile]:
    yield _list(sums, (_address(project, SUMS, net),), credential)
    for path, digest in _listed(sums, project):
        yield _file(path, digest, (_address(project, path, net),), credential=credential)


def _file(path: str, digest: str, urls: tuple[str, ...], **known: Any) -> RemoteFile:
    checksum = Checksum("sha256", digest)
    return RemoteFile(path=path, key=str(checksum), urls=urls, checksums=(checksum,), **known)


def _list(sums: bytes, urls: tuple[str, ...], credential: str | None = None) -> RemoteFile:
    """The list itself, which it does not contain: nothing is published to check it by but its size."""
    key = f"sha256:{hashlib.sha256(sums).hexdigest()}"
    return RemoteFile(path=SUMS, key=key, urls=urls, size=len(sums), credential=credential)


def _listed(sums: bytes, project: Project) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each file that a project lists, in its order; of a path that it lists twice, the first.

    Raises: Retryable where it is something else, such as a web page; RecipeError for a path that is not safe.
    """
    seen = {SUMS}  # What a list says of itself cannot be right.
    for number, line in enumerate(io.BytesIO(sums), 1):
        found = LINE.fullmatch(line.decode("utf-8", "replace").rstrip("\r\n"))
        if found and found[2] not in seen:
            seen.add(found[2])
            yield relative(found[2]), found[1].lower()
        elif not found and line.strip():
            raise Retryable(f"{SUMS} of {project.folder} at PhysioNet is no list of checksums (line {number})")


def _mirror(project: Project, path: str, net: Net) -> str:
    return object_address(bucket_address(net.endpoint("physionet_s3"), BUCKET), f"{project.folder}/{path}")


def _address(project: Project, path: str, net: Net) -> str:
    return f"{net.endpoint('physionet')}/files/{quote(f'{project.folder}/{path}')}"
