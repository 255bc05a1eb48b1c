"""Datasets that a Croissant describes, in a file or at an address: the document is brought, and what it says is kept.

It must not know recipe files, nor what the document means (``croissant``).
"""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

from medfetch import cache, croissant, names, permissions, storage
from medfetch.config import Settings
from medfetch.errors import Refused, UsageProblem
from medfetch.types import Recipe, Traits

TRAITS = Traits(endpoints={"http": ""})
MOST = 256 << 20
"""Bytes of a document: a million FileObjects have about 300 each."""


def load(name: str, settings: Settings, *, refresh: bool = False) -> Recipe:
    """What ``croissant:FILE`` or ``croissant:https://…`` describes.

    What was at an address once is what it means from then on, so that what is here already needs no network; with
    ``refresh`` it is asked again. Raises: UsageProblem, RecipeError, Unreachable, Retryable, Refused.
    """
    where = name.removeprefix(names.CROISSANT)
    if not re.match("https?://", where):
        return croissant.read(_of_file(Path(where).expanduser()), name, None)
    address = urlsplit(where)
    if "@" in address.netloc:
        raise UsageProblem(
            f"the address on {address.hostname} holds a user name", hint="download the document, and name its file"
        )
    plain = f"{names.CROISSANT}{address._replace(query='', fragment='').geturl()}"
    return croissant.read(_of_address(where, settings, refresh), plain, where)


def _of_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageProblem(f"{path}: not a text file") from None
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror or error}") from error


def _of_address(url: str, settings: Settings, refresh: bool) -> str:
    note = cache.croissants_folder(settings.cache) / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
    if not refresh:
        with suppress(OSError, UnicodeDecodeError):
            return note.read_text(encoding="utf-8")
    if settings.sandbox and not settings.made_up:  # no stand-in is running
        raise UsageProblem("nothing is kept of that document", hint="medfetch get --sandbox asks the stand-in")
    text = _asked(url, settings)
    # Whoever may only read the cache asks again.
    with suppress(OSError), permissions.of_cache(settings.cache).only():
        note.parent.mkdir(parents=True, exist_ok=True)
        storage.write_text(note, text)
    return text


def _asked(url: str, settings: Settings) -> str:
    from medfetch.hosts import Hosts  # most documents are here
    from medfetch.net.stack import ApiNet

    stop = threading.Event()
    with closing(Hosts(cache.hosts_folder(settings.cache), stop.is_set)) as hosts:
        net = ApiNet(settings, TRAITS, hosts, stop)
        address = f"{net.endpoint('http')}/{url.partition('://')[2]}" if net.replaced("http") else url
        content: bytes = net.get(address, headers={"Accept": "application/ld+json, application/json"}).content
    if len(content) > MOST:
        raise Refused(f"the document has more than {MOST:,} bytes")
    return content.decode("utf-8-sig", errors="replace")
