"""Real FTP servers on loopback: pyftpdlib, which can be told to misbehave, and vsftpd."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler, ThrottledDTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

VSFTPD = shutil.which("vsftpd") or shutil.which("vsftpd", path="/usr/sbin")


@dataclass
class Behaviour:
    """What pyftpdlib does, and what it has seen."""

    cuts: list[int] = field(default_factory=list)
    """After so many bytes each of the next data connections ends."""
    refuses: dict[str, list[str]] = field(default_factory=dict)
    """By command, the replies that it is answered by in turn, in place of what it asks for; an empty one lets it
    be carried out. The last one is for ever."""
    lacks: tuple[str, ...] = ()
    """Commands that it does not know."""
    rate: int | None = None
    """Bytes per second of each connection."""
    commands: list[str] = field(default_factory=list)
    sent: int = 0
    most: int = 0
    """Connections at once."""


@contextmanager
def pyftpd(folder: Path, behaviour: Behaviour, host: str = "127.0.0.1") -> Iterator[int]:
    """Serves a folder to anonymous; its port."""
    logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(folder))

    class Data(ThrottledDTPHandler if behaviour.rate else DTPHandler):  # type: ignore[misc]
        read_limit = write_limit = behaviour.rate or 0
        left: int | None = None
        begun = False
        ac_out_buffer_size = 4096

        def send(self, data: bytes) -> int:
            if not self.begun and behaviour.commands[-1].startswith("RETR"):
                self.begun, self.left = True, behaviour.cuts.pop(0) if behaviour.cuts else None
            if self.left is not None:
                data = data[: self.left]
            count = int(super().send(data)) if data else 0
            behaviour.sent += count
            if self.left is not None:
                self.left -= count
                if not self.left:
                    self.close()
                    self.cmd_channel.close()
            return count

    class Handler(FTPHandler):
        use_sendfile = False
        dtp_handler = Data
        permit_foreign_addresses = True
        proto_cmds: ClassVar[dict[str, Any]] = {
            name: what for name, what in FTPHandler.proto_cmds.items() if name not in behaviour.lacks
        }

        def on_connect(self) -> None:
            behaviour.most = max(behaviour.most, len(self.ioloop.socket_map) - 1)

        def pre_process_command(self, line: str, command: str, argument: str) -> None:
            behaviour.commands.append(line)
            replies = behaviour.refuses.get(command, [""])
            if reply := replies.pop(0) if len(replies) > 1 else replies[0]:
                self.respond(reply)
                return
            super().pre_process_command(line, command, argument)

    Handler.authorizer = authorizer
    server = FTPServer((host, 0), Handler, ioloop=IOLoop())
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            server.serve_forever(timeout=0.02, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(server.address[1])
    finally:
        ending.set()
        thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def vsftpd(folder: Path, work: Path, **options: object) -> Iterator[int]:
    """Serves a folder to anonymous; its port."""
    port = free_port()
    (work / "empty").mkdir(exist_ok=True)
    settings: dict[str, object] = {
        "listen": "YES", "listen_ipv6": "NO", "listen_address": "127.0.0.1", "listen_port": port, "background": "NO",
        "anonymous_enable": "YES", "local_enable": "NO", "anon_root": folder, "seccomp_sandbox": "NO",
        "secure_chroot_dir": work / "empty", "anon_world_readable_only": "NO", "run_as_launching_user": "YES",
        "xferlog_enable": "YES", "log_ftp_protocol": "YES", "vsftpd_log_file": work / "vsftpd.log",
        "xferlog_std_format": "NO", **options,
    }  # fmt: skip
    configuration = work / "vsftpd.conf"
    configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    process = subprocess.Popen([str(VSFTPD), configuration], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for _ in range(500):
            assert process.poll() is None, process.stdout and process.stdout.read()
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            threading.Event().wait(0.02)
        yield port
    finally:
        process.kill()
        process.wait()
