"""Torrents made of bytes at hand, and a tracker for them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bencode2 import bencode

PIECE = 32768


def torrent(files: Mapping[str, bytes], name: str = "set", **more: Any) -> tuple[bytes, str]:
    """A .torrent file and its info-hash; one file whose path is the name stands alone, without a folder."""
    stream = b"".join(files.values())
    pieces = b"".join(hashlib.sha1(stream[at : at + PIECE]).digest() for at in range(0, len(stream), PIECE))
    info: dict[str, Any] = {"name": name, "piece length": PIECE, "pieces": pieces}
    if list(files) == [name]:
        info["length"] = len(stream)
    else:
        info["files"] = [{"length": len(data), "path": path.split("/")} for path, data in files.items()]
    return bencode({"info": info, **more}), hashlib.sha1(bencode(info)).hexdigest()


CONTENT, INFO_HASH = torrent({"b/a.nii": b"a" * 40_000, "c.nii": b"c" * 5})


@contextmanager
def tracker() -> Iterator[str]:
    """Tells everybody of everybody (BEP 23); its address."""
    peers: set[int] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            peers.add(int(parse_qs(urlsplit(self.path).query)["port"][0]))
            compact = b"".join(bytes([127, 0, 0, 1]) + port.to_bytes(2, "big") for port in peers)
            body = bencode({"interval": 1, "min interval": 1, "peers": compact})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/announce"
        server.shutdown()
