"""Ownership on shared file systems, where flock cannot be trusted: a file made with O_CREAT|O_EXCL and a heartbeat.

Nothing's correctness may rest on a lease alone: partial files carry the token of their lease in their name, so
that two owners, should it ever come to that, write two files. (huggingface_hub #4306 tells what happens otherwise.)
On one machine a process is asked for directly: neither a clock that jumps nor a long stop of the process matters.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

HEARTBEAT = 15.0
"""Seconds between signs of life."""
STALE = 120.0
"""Seconds without one after which a lease of another machine is void; its owner, if it still runs, loses only time."""
MOMENT = 5.0
"""Seconds after which whoever was writing a lease, or clearing one away, must have been killed at it."""


@cache
def _machine() -> str:
    """Tells machines (and containers, whose process numbers mean nothing to each other) apart."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


def _stat(pid: int) -> tuple[bool, str] | None:
    """Whether a process has ended, and when it began in the kernel's words; None where nothing is told of it."""
    try:
        # proc(5): the third, the 20th and the 22nd field; the second, in parentheses, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # In a container nobody may ever wait for orphans: they stay as zombies. A zombie with threads is not quite dead:
    # they may still have its connections open.
    return fields[0] in "ZX" and int(fields[17]) <= 1, fields[19]


def _started(pid: int) -> str | None:
    stat = _stat(pid)
    return stat and stat[1]


def _alive(pid: int, started: str | None) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    stat = _stat(pid)
    return stat is None or (not stat[0] and started in (stat[1], None))


class Lease:
    """A held lease; ``release`` gives it back."""

    def __init__(self, path: Path, content: dict[str, object]) -> None:
        self.path = path
        self.token = str(content["token"])
        self._content = content
        _Heart.of_process().keep(path)

    def held(self) -> bool:
        """Whether it is still ours: after a long silence somebody else may have it."""
        return (owner(self.path) or {}).get("token") == self.token

    def tell(self, **about: object) -> None:
        """What its file says besides who holds it. Only for a lease that nobody else wants."""
        self._content |= about
        temporary = self.path.with_name(f".{self.path.name}.new")
        with suppress(OSError):  # it is news for others, which may come later
            temporary.write_text(json.dumps(self._content))
            temporary.chmod(_mode(self.path))
            temporary.replace(self.path)

    def release(self) -> None:
        _Heart.of_process().forget(self.path)
        if self.held():
            with suppress(OSError):
                self.path.unlink()


def take(path: Path, **about: object) -> Lease | None:
    """The lease at ``path``, or None while somebody who lives holds it. A dead owner's lease is cleared away.

    ``about`` is what its file says besides who holds it.
    """
    token = f"{platform.node()[:20]}-{os.getpid()}-{secrets.token_hex(4)}"
    who = {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid()), "token": token}
    content = {**who, **about}
    for _ in range(2):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            if not _clear_dead(path):
                return None
            continue
        try:
            with os.fdopen(descriptor, "w") as file:
                with suppress(PermissionError):  # FAT has no modes
                    os.fchmod(descriptor, _mode(path))
                json.dump(content, file)
        except BaseException:  # also a signal's: of what is half written nobody could tell that its owner is dead
            path.unlink(missing_ok=True)
            raise
        return Lease(path, content)
    return None


def _mode(path: Path) -> int:
    """As open as its folder, whatever the umask: hosts' slots are everybody's, those of a home its readers'."""
    return 0o644 & path.parent.stat().st_mode


def owner(path: Path) -> dict[str, object] | None:
    """Who holds the lease, as its file says; None where nobody does or the file is still being written."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_dead(path: Path) -> bool:
    """Whether the holder is known not to run any more, or has shown no sign of life for too long."""
    held_by = owner(path)
    if held_by and held_by.get("machine") == _machine():
        return not _alive(int(str(held_by["pid"])), held_by.get("started"))  # type: ignore[arg-type]
    return silence(path) > (STALE if held_by else MOMENT)


def is_alive(path: Path) -> bool:
    """Whether the holder is known to run: a process of this machine, or one that gave a sign while it was watched."""
    held_by = owner(path)
    if held_by and held_by.get("machine") == _machine():
        return not is_dead(path)
    silence(path)
    _, since, beats = _watched.get(path, (0, 0.0, False))
    return beats and time.monotonic() - since < 2 * HEARTBEAT


_watched: dict[Path, tuple[int, float, bool]] = {}
"""The last sign of life of what this process waits for; when, by a clock that never jumps, it was first seen; and
whether it was not the first one."""


def silence(path: Path) -> float:
    """Seconds without a sign of life; 0 where there is no file.

    By the clock, or by what was watched from here, whichever is longer: where a clock was set back, signs of life lie
    in the future.
    """
    try:
        sign = path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0.0
    if path not in _watched or _watched[path][0] != sign:
        _watched[path] = sign, time.monotonic(), path in _watched
    return max(time.time() - sign / 1e9, time.monotonic() - _watched[path][1])


def _clear_dead(path: Path) -> bool:
    """Removes a dead owner's lease; True if the way may be free now."""
    if not is_dead(path):
        return not path.exists()
    # Of several who see this, one at a time looks again and removes: else the slowest would remove the new lease.
    clearing = path.with_name(f"{path.name}.clearing")
    try:
        os.close(os.open(clearing, os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        if silence(clearing) > MOMENT:
            clearing.unlink(missing_ok=True)
        return False
    try:
        if is_dead(path):
            path.unlink(missing_ok=True)
    finally:
        clearing.unlink(missing_ok=True)
    return True


class _Heart:
    """One thread of the process that touches all its leases."""

    _instance: _Heart | None = None
    _pid = 0
    _lock = threading.Lock()

    @classmethod
    def of_process(cls) -> _Heart:
        with cls._lock:
            if cls._instance is None or cls._pid != os.getpid():
                cls._instance, cls._pid = cls(), os.getpid()
            return cls._instance

    def __init__(self) -> None:
        self._paths: set[Path] = set()
        threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True).start()

    def keep(self, path: Path) -> None:
        self._paths.add(path)

    def forget(self, path: Path) -> None:
        self._paths.discard(path)

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT)
            for path in list(self._paths):
                with suppress(OSError):
                    os.utime(path)
