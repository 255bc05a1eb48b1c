"""grand-challenge with its gates: archives in pages, images, files behind signed links to another origin, DICOM sets.

It must not know sockets. Protocol: as gcapi 0.16.1 asks and understands it, and grand-challenge's public server code;
that DICOM instances come from storage that wants signed headers is assumed, for the API hands out headers with them.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere

TOKEN = "sandbox-token"
LONGEST_PAGE = 1000
SIGNED = "X-Sandbox-Signature"
"""The header that DICOM instances want."""


@dataclass(frozen=True)
class Image:
    """An image: its files by type of name (``mha``, ``tif``), or the instances of a DICOM set by SOPInstanceUID."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    instances: Mapping[str, bytes] = field(default_factory=dict)


Value = Image | bytes | str | int | float | bool | list[Any] | dict[str, Any] | None
"""An image, a file, or what JSON can say."""


@dataclass(frozen=True)
class _Archive:
    slug: str
    key: str
    items: Sequence[Mapping[str, Any]]
    images: Sequence[Mapping[str, Any]]
    listed: bool
    granted: bool


@dataclass(frozen=True, slots=True)
class _Stored:
    content: Content
    headers: bool
    """Whether it wants the signature as a header, too."""


class GrandChallenge(Signing[_Stored]):
    """Archives by name. ``address`` is what the API says that it is called, where that is not what it was asked as:
    behind TLS, for one."""

    def __init__(self) -> None:
        super().__init__(life=300.0)
        self.address: str | None = None
        self._archives: dict[str, _Archive] = {}
        self._files: dict[str, Content] = {}
        self._instances: dict[str, Mapping[str, Content]] = {}
        self._hidden: set[str] = set()
        """Files and images of archives to which access was not granted."""
        self._values = itertools.count()

    def archive(
        self, slug: str, items: Sequence[Mapping[str, Value]], *, listed: bool = True, granted: bool = True
    ) -> list[str]:
        """Has an archive whose items have these values by relative path; returns the items' keys.

        An archive that is ``listed`` is shown to all who are logged in, its items only where access was ``granted``.
        """
        images: list[Mapping[str, Any]] = []
        rows = [self._item(f"{slug}/{number}", values, images) for number, values in enumerate(items)]
        key = _key(slug)
        for row in rows:
            row["archive"] = f"archives/{key}/"
        self._archives[key] = _Archive(slug, key, rows, images, listed or granted, granted)
        if not granted:
            values = [value for row in rows for value in row["values"]]
            self._hidden.update(file["file"] for image in images for file in image["files"])
            self._hidden.update(value["file"] for value in values if value["file"])
            self._hidden.update(image["pk"] for image in images)
        return [row["pk"] for row in rows]

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``api/v1/…`` or ``media/…`` of the site, or ``storage/…``."""
        if request.method not in ("GET", "HEAD"):
            return text("only GET and HEAD\n", 405)
        if path.startswith("storage/"):
            return self._stored(request)
        if path == "api/v1/gcapi/":
            return as_json({"latest_version": "0.16.1", "lowest_supported_version": "0.14.0"})
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        known = scheme.lower() == "bearer" and token == TOKEN
        if path in self._files:
            return self._redirect(request, path) if known and path not in self._hidden else text("Not Found\n", 404)
        if not path.startswith("api/v1/"):
            return text("Not Found\n", 404)
        if not known:
            said = "Invalid token." if token else "Authentication credentials were not provided."
            return replace(as_json({"detail": said}), status=401)
        return self._api(request, path.removeprefix("api/v1/"))

    # -- the API -------------------------------------------------------------------------------------------------

    def _api(self, request: Request, path: str) -> Answer:
        asked = self._archives.get(request.query.get("archive", ""))
        shown = [each for each in self._archives.values() if each.granted]
        match path.strip("/").split("/"):
            case ["archives"]:
                slug = request.query.get("slug")
                rows = [_row(each) for each in self._archives.values() if each.listed and slug in (None, each.slug)]
                return self._page(request, rows)
            case ["archives", "items"]:
                return self._page(request, asked.items if asked and asked.granted else [])
            case ["archives", "items", key]:
                return self._one(request, [row for each in shown for row in each.items], key)
            case ["archives", key]:
                return self._one(request, [_row(each) for each in self._archives.values() if each.listed], key)
            case ["cases", "images"]:
                return self._page(request, asked.images if asked and asked.granted else [])
            case ["cases", "images", key]:
                return self._one(request, [row for each in shown for row in each.images], key)
            case ["cases", "images", key, "dicom", "instances"] if key in self._instances.keys() - self._hidden:
                found = self._instances[key].items()
                return as_json({"instances": [self._instance(request, uid, content) for uid, content in found]})
        return _missing()

    def _page(self, request: Request, rows: Sequence[Mapping[str, Any]]) -> Answer:
        start = int(request.query.get("offset", 0))
        stop = start + min(int(request.query.get("limit", 100)), LONGEST_PAGE)
        more = f"{self._base(request)}/api/v1/?offset={stop}" if stop < len(rows) else None
        shown = [self._absolute(request, row) for row in rows[start:stop]]
        return as_json({"count": len(rows), "next": more, "previous": None, "results": shown})

    def _one(self, request: Request, rows: Sequence[Mapping[str, Any]], key: str) -> Answer:
        found = next((row for row in rows if row["pk"] == key), None)
        return as_json(self._absolute(request, found)) if found else _missing()

    def _absolute(self, request: Request, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row as it is told: with whole addresses."""
        base = self._base(request)

        def told(name: str, value: Any) -> Any:
            if isinstance(value, list) and value and isinstance(value[0], dict):
                return [self._absolute(request, each) for each in value]
            if name in ("archive", "image", "api_url") and value:
                return f"{base}/api/v1/{value}"
            return f"{base}/{value}" if name == "file" and value else value

        return {name: told(name, value) for name, value in row.items()}

    def _base(self, request: Request) -> str:
        return self.address or f"http://{request.header('host')}/grand-challenge"

    # -- what there is -------------------------------------------------------------------------------------------

    def _item(self, name: str, values: Mapping[str, Value], images: list[Mapping[str, Any]]) -> dict[str, Any]:
        rows = []
        for path, value in values.items():
            row: dict[str, Any] = {"value": None, "file": None, "image": None, "pk": next(self._values)}
            kind = "Image" if isinstance(value, Image) else "File" if isinstance(value, bytes) else "Value"
            if isinstance(value, Image):
                images.append(self._image(f"{name}/{path}", value))
                row["image"] = f"cases/images/{images[-1]['pk']}/"
            elif isinstance(value, bytes):
                row["file"] = f"media/components/{_key(f'{name}/{path}')}/{path.rpartition('/')[2]}"
                self._files[row["file"]] = Content.of(value)
            else:
                row["value"] = value
            rows.append({**row, "socket": _socket(path, kind), "interface": _socket(path, kind)})
        more: dict[str, Any] = {
            "hanging_protocol": None,
            "optional_hanging_protocols": [],
            "view_content": {},
            "title": "",
        }
        return {"pk": _key(name), "values": rows, **more}

    def _image(self, name: str, image: Image) -> dict[str, Any]:
        key = _key(name)
        files = []
        for suffix, data in image.files.items():
            place = f"media/images/{key[:2]}/{key[2:4]}/{key}/{_key(f'{name}.{suffix}')}/output.{suffix}"
            self._files[place] = Content.of(data)
            kind = "TIFF" if suffix == "tif" else "MHD"
            files.append({"pk": _key(place), "image": f"cases/images/{key}/", "file": place, "image_type": kind})
        if image.instances:
            self._instances[key] = {uid: Content.of(data) for uid, data in image.instances.items()}
        sizes = dict.fromkeys(
            ("width", "height", "depth", "color_space", "modality", "eye_choice", "stereoscopic_choice",
             "field_of_view", "voxel_width_mm", "voxel_height_mm", "voxel_depth_mm", "window_center", "window_width",
             "segments")
        )  # fmt: skip
        dicom = {"image_set_id": key.replace("-", "")} if image.instances else None
        return {"pk": key, "name": name, "files": files, "dicom_image_set": dicom, **sizes,
                "shape": [], "shape_without_color": [], "api_url": f"cases/images/{key}/"}  # fmt: skip

    # -- links and the storage that they lead to -----------------------------------------------------------------

    def _redirect(self, request: Request, path: str) -> Answer:
        return Answer(302, {"Location": self._link(request, path, self._files[path], headers=False)})

    def _instance(self, request: Request, uid: str, content: Content) -> dict[str, Any]:
        url = self._link(request, f"{uid}.dcm", content, headers=True)
        return {"sop_instance_uid": uid, "get_instance": {"method": "GET", "url": url, "headers": {SIGNED: url[-32:]}}}

    def _link(self, request: Request, path: str, content: Content, *, headers: bool) -> str:
        expires = "" if headers else f"Expires={round(time.time() + self.life)}&"
        place = f"{elsewhere(request)}/grand-challenge/storage/{quote(path)}"
        return f"{place}?{expires}Signature={self.sign(_Stored(content, headers))}"

    def _stored(self, request: Request) -> Answer:
        signature = request.query.get("Signature", "")
        found = self.signed(signature)
        if found is None or (found.headers and request.header(SIGNED.lower()) != signature):
            return text("<Error><Code>AccessDenied</Code></Error>", 403, "application/xml")
        return messages.file(found.content, f'"{found.content.md5()}"')


def _key(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _row(archive: _Archive) -> dict[str, Any]:
    page = f"https://grand-challenge.org/archives/{archive.slug}/"
    return {"pk": archive.key, "title": archive.slug, "logo": "", "description": "",
            "api_url": f"archives/{archive.key}/", "url": page}  # fmt: skip


def _socket(path: str, kind: str) -> dict[str, Any]:
    slug = path.replace("/", "-").replace(".", "-")
    return {"title": slug, "description": "", "slug": slug, "kind": kind, "pk": 1, "default_value": None,
            "super_kind": kind, "relative_path": path, "overlay_segments": None, "look_up_table": None}  # fmt: skip


def _missing() -> Answer:
    return replace(as_json({"detail": "Not found."}), status=404)
