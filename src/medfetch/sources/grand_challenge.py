"""Archives of grand-challenge.org: the images, DICOM instances and other files of their items, by API token.

It must not know how people are let in. Protocol: what gcapi 0.16.1 asks, and grand-challenge's public server code
(github.com/comic/grand-challenge.org), both read 2026-11-20. The API tells neither sizes nor checksums. Data of
challenges are either such archives or lie elsewhere: the API has no files of challenges.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urldefrag, urlsplit

from medfetch.errors import MedfetchError, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.sources._signed import expiry
from medfetch.types import Door, Entry, Group, Link, RemoteFile, Selection, Traits, Verdict

CREDENTIAL = "grand-challenge"
SITE = "https://grand-challenge.org"
TOKENS = f"{SITE}/settings/api-tokens/"
SLUG = re.compile(r"[A-Za-z0-9_-]+")
TYPED = re.compile(rf"(?:(?:{re.escape(SITE)}/)?archives/)?([^/]+)/?")
KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""All that the API names are UUIDs."""
PAGE = 1000
"""Rows of a list at once: the most that the server gives; its clients ask for 100."""
LIFE = 300.0
"""Seconds for which the server signs its links, unless it was set up otherwise."""


class GrandChallenge:
    """Locator: ``archive``, the last part of its address; ``path``, patterns of files or folders, without which all is
    taken.

    Each item of an archive is a folder, in which its values lie where its sockets say, as gcapi's
    ``download_socket_value`` would put them. Values that are no files, such as a diagnosis, stand in the item's own
    description: ``<item>.json``, as the API words it.
    """

    name: ClassVar[str] = "grand-challenge"
    traits: ClassVar[Traits] = Traits(endpoints={"grand_challenge": SITE}, connections=4, logins=(CREDENTIAL,))

    def __init__(self) -> None:
        self._signed: dict[str, Link] = {}
        """Links to DICOM instances, which come by the set: each is used once, and then asked for anew."""

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found or not SLUG.fullmatch(found[1]):
            raise UsageProblem(f"{text!r} is no archive of grand-challenge; expected grand-challenge:name")
        return {"archive": found[1]}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[Entry]:
        slug, patterns = _archive(locator)
        archive = _Archive(slug, net)
        try:
            found = False
            for item in archive.items():
                found = True
                yield from (entry for entry in archive.entries(item) if _wanted(entry, patterns))
        except Refused as error:
            raise archive.refused(error) from error
        except (KeyError, TypeError) as error:
            raise Retryable(f"grand-challenge described an item of {slug} without {error}") from None
        if not found:
            raise closed(archive.nothing(listed=True), f"grand-challenge-{slug}")

    def members(self, group: Group, net: Net) -> Iterator[RemoteFile]:
        """The instances of a DICOM image set."""
        url = f"{net.endpoint('grand_challenge')}/api/v1/cases/images/{group.context['image']}/dicom/instances/"
        for address in self._sign(url, net):
            uid = urldefrag(address)[1]
            yield RemoteFile(group.path, f"{group.key}/{uid}", (address,), facets=group.facets, dicom=True)

    def link(self, url: str, net: Net) -> Link:
        """Signed links to storage; descriptions of items come from the API itself."""
        listed, uid = urldefrag(url)
        if uid:
            link = self._signed.pop(url, None)
            if link is None or link.expired:
                self._sign(listed, net)
                link = self._signed.pop(url, None)
            if link is None:
                raise Refused(f"grand-challenge does not list the instance {uid} any more ({listed})", status=404)
            return link
        try:
            address = net.redirect(url, credential=_credential(net))
        except Refused as error:
            raise _explained(error, url) from error
        return Link(address, expiry(address)) if address != url else Link(url, credential=_credential(net))

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        slug, _ = _archive(locator)
        archive = _Archive(slug, net)
        try:
            key = archive.key()
            shown = key is not None and archive.shows_items(key)
        except Refused as error:
            return archive.verdict(error)
        return Verdict(Door.OPEN, f"grand-challenge shows {slug} to you") if shown else archive.nothing(key is not None)

    def _sign(self, url: str, net: Net) -> list[str]:
        """Asks for links to all instances of a set; their addresses, in the API's order."""
        asked, addresses = time.time(), []
        try:
            rows = _answers.told(net.get(url, credential=_credential(net)), url)["instances"]
            for row in rows:
                get = row["get_instance"]
                if get["method"] != "GET":
                    raise ValueError(f"method {get['method']}")
                until = expiry(get["url"]) or asked + LIFE
                addresses.append(f"{url}#{row['sop_instance_uid']}")
                self._signed[addresses[-1]] = Link(get["url"], until, headers=dict(get["headers"]))
        except Refused as error:
            raise _explained(error, url) from error
        except (KeyError, TypeError, ValueError) as error:
            raise Retryable(f"{url} did not answer with a list of instances: {error!r}") from None
        return addresses


class _Archive:
    """An archive as the API shows it to whoever asks."""

    def __init__(self, slug: str, net: Net) -> None:
        self._slug, self._net = slug, net
        self._api = f"{net.endpoint('grand_challenge')}/api/v1"
        self._page = f"{SITE}/archives/{quote(slug)}/"
        self._images: dict[str, Mapping[str, Any]] = {}
        """Those that were listed and not asked for yet."""
        self._more: Iterator[Mapping[str, Any]] | None = None

    def key(self) -> str | None:
        """The archive's UUID; None where it is not shown."""
        rows = self._ask(f"{self._api}/archives/", slug=self._slug, limit="1").get("results")
        return _key(rows[0]["pk"]) if rows else None

    def shows_items(self, key: str) -> bool:
        """Whether there is one; public archives are listed to all, their items shown to those who were let in."""
        return bool(self._ask(f"{self._api}/archives/items/", archive=key, limit="1").get("results"))

    def items(self) -> Iterator[Mapping[str, Any]]:
        key = self.key()
        if key is None:
            raise closed(self.nothing(listed=False), f"grand-challenge-{self._slug}")
        self._more = self._rows("cases/images/", key)
        yield from self._rows("archives/items/", key)

    def entries(self, item: Mapping[str, Any]) -> Iterator[Entry]:
        """What an item has, in the order of its values."""
        folder = _key(item["pk"])
        inline = False
        for value in item["values"]:
            path = relative(f"{folder}/{value['interface']['relative_path']}".rstrip("/"))
            if value.get("image"):
                yield from self._image(path, _key(value["image"]))
            elif value.get("file"):
                yield RemoteFile(path, f"{self._name(folder)}/{value['pk']}", (value["file"],))
            else:
                inline = inline or value.get("value") is not None
        if inline:
            yield RemoteFile(f"{folder}.json", self._name(folder), (f"{self._api}/archives/items/{folder}/",))

    def _image(self, path: str, key: str) -> Iterator[Entry]:
        image = self._look_up(key)
        if image.get("dicom_image_set"):
            yield Group(path, self._name(f"{path}/{key}"), context={"image": key})
            return
        for file in image["files"]:
            suffix = urlsplit(file["file"]).path.rpartition(".")[2]
            # An image may be in two items.
            yield RemoteFile(
                relative(f"{path}/{key}.{suffix}"), self._name(f"{path}/{_key(file['pk'])}"), (file["file"],)
            )

    def _look_up(self, key: str) -> Mapping[str, Any]:
        """An image; they are listed by the thousand, in nearly the order of the items, and asked for singly if need
        be."""
        while key not in self._images and self._more is not None:
            row = next(self._more, None)
            if row is None:
                self._more = None
            else:
                self._images[_key(row["pk"])] = row
        return self._images.pop(key, None) or self._ask(f"{self._api}/cases/images/{key}/")

    def _rows(self, what: str, archive: str) -> Iterator[Mapping[str, Any]]:
        """A list, page by page."""
        offset = 0
        while True:
            page = self._ask(f"{self._api}/{what}", archive=archive, limit=str(PAGE), offset=str(offset))
            rows = page.get("results")
            if not isinstance(rows, list):
                raise Retryable(f"{self._api}/{what} did not answer with a list")
            yield from rows
            offset += len(rows)
            if not rows or not page.get("next"):
                return

    def _ask(self, url: str, **query: str) -> Mapping[str, Any]:
        return _answers.told(self._net.get(url, query or None, credential=_credential(self._net)), url)

    def _name(self, key: str) -> str:
        return f"grand-challenge:{self._slug}/{key}"

    # -- doors ---------------------------------------------------------------------------------------------------

    def nothing(self, listed: bool) -> Verdict:
        """What it means that nothing is shown: the server answers alike to who may not and for what is not there."""
        if listed:
            said = f"grand-challenge lists the archive {self._slug} but shows none of its items: you were not let in"
            said += ', or it is empty. "Request access" on its page, and wait for its editors'
        else:
            said = f"you have no right to the archive {self._slug}, or there is no such archive: grand-challenge says"
            said += ' the same for both. If the name is right, "Request access" on its page, and wait for its editors'
        return Verdict(Door.UNCLEAR, said, f"{self._page}permission-requests/create/")

    def verdict(self, error: Refused) -> Verdict:
        """What a refusal means. Raises: the error itself where it is not grand-challenge's (a certificate, a proxy)."""
        if error.status is None:
            raise error
        if error.status == 401 and not self._net.has(CREDENTIAL):
            return Verdict(Door.NO_LOGIN, "grand-challenge wants an API token, and there is none here", TOKENS)
        if error.status == 401:
            said = "grand-challenge does not know your API token: it is wrong, was deleted or has expired"
            return Verdict(Door.WRONG_LOGIN, said, TOKENS)
        if error.status == 404:
            return self.nothing(listed=False)
        return Verdict(Door.UNCLEAR, error.message, self._page)

    def refused(self, error: Refused) -> MedfetchError:
        return closed(self.verdict(error), f"grand-challenge-{self._slug}")


def _credential(net: Net) -> str | None:
    """Without a token the server says itself that it wants one."""
    return CREDENTIAL if net.has(CREDENTIAL) else None


def _archive(locator: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The archive's name, and the patterns of what is wanted of it."""
    only(locator, {"archive", "path"}, "grand-challenge")
    slug = text(locator, "archive", "grand-challenge")
    if slug is None or not SLUG.fullmatch(slug):
        raise RecipeError(f"expected the name of an archive, not {slug!r}", at="grand-challenge.archive")
    return slug, strings(locator, "path", "grand-challenge")


def _wanted(entry: Entry, patterns: tuple[str, ...]) -> bool:
    """A set of DICOM files is wanted where its folder is, or any of its files would be."""
    return wanted(entry.path, patterns) or (isinstance(entry, Group) and wanted(f"{entry.path}/*.dcm", patterns))


def _explained(error: Refused, url: str) -> Refused:
    if error.status != 404:
        return error
    said = f"grand-challenge says that {url} is not there; it says so, too, where you have no right to it"
    return Refused(said, status=404, hint="if you were let in lately, or thrown out, look at the archive's page")


def _key(text: object) -> str:
    """The UUID that a text is or an address ends with. Raises: Retryable."""
    found = KEY.findall(str(text))
    if not found:
        raise Retryable(f"grand-challenge gave {str(text)[:80]!r} in place of a key")
    return str(found[-1]).lower()
