"""The data that flows through medfetch: frozen dataclasses without behaviour.

This module imports nothing of medfetch; everything else may import it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Assurance(StrEnum):
    """How sure medfetch is that a file's bytes are the ones its publisher meant."""

    PUBLISHED = "published"
    """They matched a checksum from the host or the recipe."""
    LOCKED = "locked"
    """No such checksum is known; they have the SHA-256 that a lock gives."""
    ARCHIVE_CRC = "archive-crc"
    """They matched the CRC32 and the size that the directory of their archive gives, of which only a part was fetched:
    a checksum of the archive, if there is one, could not be compared."""
    SIZE_ONLY = "size-only"
    """Only their length was known beforehand."""
    FIRST_SEEN = "first-seen"
    """Nothing was known: our own SHA-256 is recorded, and the next fetch must equal it."""


class Level(StrEnum):
    """How a dataset is opened to a person, from the widest door to none, and last: nobody could establish it."""

    OPEN = "open"
    ACCOUNT = "account"
    TERMS = "terms"
    JOIN = "join"
    CREDENTIALED = "credentialed"
    APPLICATION = "application"
    PAID = "paid"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Checksum:
    """A digest and its algorithm (a hashlib name, or ``git-sha1-SIZE``); written ``md5:70e2…``."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A step that only a person can take before bytes may flow."""

    name: str
    kind: str
    """account, token, terms, training, application, approval, join, payment or link."""
    do: str
    at: str | None = None
    """The address where it is done."""
    wait: str | None = None
    """The usual waiting time, where a source says so."""
    credential: str | None = None
    """Name of the secret that it brings (``credentials``)."""
    after: tuple[str, ...] = ()
    """Names of the steps that come before it."""
    sign: str | None = None
    """Who else must sign, where a source says so: a supervisor, the institution's legal office …"""
    lapses: str | None = None
    """How long it is good for, where a source says so."""
    evidence: tuple[Mapping[str, str], ...] = field(default=(), compare=False)
    """Of a step that several recipes name: as ``Recipe.evidence``."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way to obtain a part: a source and what that source calls the data."""

    source: str
    locator: Mapping[str, Any]
    """The source's own words, validated by the recipe schema and by that source."""
    requires: tuple[Requirement, ...] = ()
    third_party: bool = False
    unpack: tuple[Unpacking, ...] = ()
    """Of a source that lists files: which archives among them are unpacked."""
    into: str = ""
    """The folder, relative to the dataset's home, in which all that the source lists is put; empty is the home."""


@dataclass(frozen=True, slots=True)
class Unpacking:
    """Archives of a route that are to be unpacked."""

    path: str = "*"
    """A pattern of files or folders."""
    into: str | None = None
    """The folder that receives the members, empty for the dataset's own; None: the one that each archive is in."""
    volumes: str | None = None
    """A pattern of the volumes (``.z01`` …) of which the file is the last one, where their names do not tell."""


@dataclass(frozen=True, slots=True)
class Part:
    """A named piece of a dataset that can be fetched alone; its routes are alternatives, best first."""

    name: str
    routes: tuple[Route, ...]
    default: bool = True
    summary: str | None = None
    licence: Mapping[str, str] | None = None
    size: int | None = None
    """Bytes to download, as published."""
    unpacked: int | None = None
    """Bytes after unpacking, as published."""


@dataclass(frozen=True, slots=True)
class Access:
    level: Level
    requires: tuple[Requirement, ...] = ()
    terms: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a dataset is and how it is obtained; see ``recipe.schema.json`` for the file format."""

    id: str
    name: str
    summary: str
    parts: tuple[Part, ...]
    access: Access
    version: str | None = None
    licence: Mapping[str, str] | None = None
    citations: tuple[str, ...] = ()
    homepage: str | None = None
    also: tuple[str, ...] = ()
    """Other addresses that people know it by, old ones among them."""
    status: Mapping[str, str] = field(default_factory=dict)
    modality: tuple[str, ...] = ()
    anatomy: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    subjects: int | None = None
    size: int | None = None
    """Bytes of the default parts, as published."""
    evidence: tuple[Mapping[str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Size in bytes and SHA-256, by path, of files that the description of a dataset tells of by name."""
    digest: str = ""
    """SHA-256 of the recipe's content: a plan made from another content is stale."""
    origin: str = ""
    """The file it was read from, or the name it was made from (``tcia:NSCLC-Radiomics``)."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A file in a zip, as the zip's directory has it."""

    name: str
    """Its safe path in the folder that receives the members."""
    at: int
    """Where its own header begins, counted from the first byte that is fetched."""
    packed: int
    """Bytes in the archive, without header."""
    size: int
    """Bytes when it is unpacked."""
    crc32: int
    method: int
    """How it is packed (PKWARE APPNOTE 4.4.5)."""


@dataclass(frozen=True, slots=True)
class Unpack:
    """What to do with an archive once it is verified."""

    kind: str
    """zip, tar, 7z, or ``dicom-zip`` (an NBIA series: instances are renamed to their SOPInstanceUID)."""
    into: str = ""
    """The folder that receives the members, relative to the dataset's home; empty is the home itself."""
    only: tuple[tuple[str, ...], ...] = ()
    """Of a zip, which members are wanted: one pattern of each of these has to fit; where there are none, all are."""
    members: tuple[Packed, ...] = ()
    """Not the archive is fetched, but an excerpt of it with these members."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Which of the bytes under its addresses a file is, if not all."""

    first: int
    """Where it begins."""
    of: int
    """Bytes of the whole."""
    version: str | None
    """The validator of the whole (RFC 9110, 13.1.5) under ``urls[0]``; None where its host tells none."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One thing to fetch.

    ``path`` is where it goes, a relative POSIX path in the dataset's home; with ``dicom`` it is only the
    folder, and the file is named ``<SOPInstanceUID>.dcm`` after its own header, so that all routes leave
    the same tree. ``key`` is the source's name for exactly this content. ``urls`` are stable links, best
    first. ``pieces``, where given, are fetched instead of ``urls`` and joined in that order.
    """

    path: str
    key: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    """Bytes."""
    checksums: tuple[Checksum, ...] = ()
    etag: str | None = None
    """The strong entity tag under ``urls[0]``, where a listing told it: resuming needs no other note."""
    facets: Mapping[str, str] = field(default_factory=dict)
    unpack: Unpack | None = None
    dicom: bool = False
    credential: str | None = None
    """Name of the secret to send along (see ``credentials.py``); never the secret."""
    pieces: tuple[RemoteFile, ...] = ()
    excerpt: Excerpt | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Files that belong together and are planned as one, such as a DICOM series.

    The source lists its members when its turn comes, so a plan of a million series holds a million rows,
    not a hundred million. Where the host also hands the group out as one ``archive``, that is tried first.
    """

    path: str
    """The folder of its files, a relative POSIX path in the dataset's home."""
    key: str
    files: int | None = None
    """How many files it must have; fewer is an error."""
    size: int | None = None
    """Bytes, as the index says."""
    facets: Mapping[str, str] = field(default_factory=dict)
    archive: RemoteFile | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    """What the source needs to list the members: a bucket, a host."""


Entry = RemoteFile | Group


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries are wanted: a value of each facet must match (shell patterns), ``limit`` caps their number."""

    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request for bytes."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Peek:
    """What a host answers where a file is expected, without the file."""

    url: str
    """Where redirects have led to."""
    headers: Mapping[str, str]
    """By lower-case name."""
    page: str | None
    """The page of HTML that came instead; None where a file would come."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where the bytes of a file are to be had just now; such addresses expire, and their query is a secret."""

    url: str
    expires: float | None = None
    """Seconds since 1970; None where the host does not say."""
    credential: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """What has to be sent along, where not only the query is signed; a secret likewise."""

    @property
    def expired(self) -> bool:
        """Whether it is over, or will be within half a minute."""
        return self.expires is not None and time.time() > self.expires - 30


@dataclass(frozen=True, slots=True)
class Mailed:
    """A link that the person was sent; its text never shows it."""

    link: Link = field(repr=False)
    names: tuple[str, ...]
    """What its file may be called: by its address, by the command around it."""


class Door(StrEnum):
    """What a host says when it is asked whether this person may have a dataset."""

    OPEN = "open"
    NO_LOGIN = "no login"
    WRONG_LOGIN = "wrong login"
    NOT_APPROVED = "not approved"
    RULES = "rules not accepted"
    PENDING = "pending"
    AGENT = "user agent refused"
    ABSENT = "no such dataset"
    UNCLEAR = "unclear"
    """It answers alike for several of these; ``Verdict.said`` names them."""
    DOWN = "host down"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A host's answer about one locator."""

    door: Door
    said: str
    """For a person: what the answer means, and what to do about it."""
    at: str | None = None
    """Where it is done."""


@dataclass(frozen=True, slots=True)
class Alike:
    """All series of one subject that have the same modality."""

    subject: str | None
    modality: str | None
    files: int
    """Of all of them, as far as it is known how many they have."""
    sizes: Sequence[int | None]
    """Bytes of each of them, None where that is not known."""


@dataclass(frozen=True, slots=True)
class About:
    """What a host says of a dataset, in its own words; what it does not say stays empty."""

    name: str | None = None
    summary: str | None = None
    """A description of any length, perhaps with markup."""
    version: str | None = None
    """Of what was asked for."""
    newest: str | None = None
    """The newest version that there is."""
    licence: str | None = None
    """Its id or its name."""
    licence_url: str | None = None
    size: int | None = None
    """Bytes of all files."""
    doi: str | None = None
    homepage: str | None = None
    subjects: int | None = None
    modality: tuple[str, ...] = ()
    anatomy: tuple[str, ...] = ()
    pins: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a locator that hold what was described to what it is now."""
    told_by: str | None = None
    """Who says so, where no host was asked: an index that is installed."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What is true of a source's hosts, as data that the core enforces."""

    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Base addresses by name; each can be replaced by ``endpoints:`` or ``MEDFETCH_ENDPOINT_<NAME>``."""
    facets: tuple[str, ...] = ("path",)
    """What ``--select`` can ask for."""
    connections: int = 4
    """At once to one host, over all medfetch processes on one cache."""
    host_connections: Mapping[str, int] = field(default_factory=dict)
    """The same for hosts that are known to bear another number."""
    host_rates: Mapping[str, int] = field(default_factory=dict)
    """Bytes per second that hosts are known to give one connection, for forecasts."""
    patience: float = 60.0
    """Seconds without a useful byte after which a transfer is given up and resumed."""
    logins: tuple[str, ...] = ()
    """Secrets that its hosts may ask for, by the names that ``medfetch login`` knows; HOST stands for any."""
    program: str = ""
    """What has to be installed beside medfetch."""
    pause: float = 0.0
    """Seconds for which a host is left alone after a 429 that does not say for how long, where the backoff is that of
    the settings' default."""
    ranges: bool = True
    """False where archives are built on the fly: a partial is worth nothing."""
    offline: bool = False
    """True where resolving needs no network."""
