"""How files reach the disk, whole or not at all, and what a disk cannot do. It must not know where things lie."""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import secrets
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from medfetch.errors import UPGRADE, CacheError, DiskFull

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Linux: another one after each start of the machine."""


def unusable(path: Path, error: OSError) -> CacheError | DiskFull:
    """The error for a system call that failed in the cache."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"the disk of {path} is full", hint="make room and run the same command again; nothing complete is lost"
        )
    where = error.filename2 or error.filename
    if error.errno == errno.EACCES and where and (whose := _whose(Path(os.fsdecode(where)))):
        return CacheError(
            f"you may not use {where}: it is {whose}", hint="ask them, or choose another with --cache DIR"
        )
    return CacheError(
        f"the cache at {path} cannot be used: {error.strerror or error}" + f" ({where})" * bool(where),
        hint="choose another with --cache DIR or MEDFETCH_CACHE",
    )


def _whose(path: Path) -> str | None:
    """Whose the first folder is, on the way to something, that this user may not enter, or may not write at the end."""
    import grp
    import pwd

    way = [*reversed(path.parents), path]
    closed = next((each for each in way if not os.access(each, os.R_OK | os.X_OK)), None)
    if closed is None or closed == path:
        closed = path if path.is_dir() else path.parent
    there = closed.stat()
    owner, group = str(there.st_uid), str(there.st_gid)
    with suppress(KeyError):
        owner = pwd.getpwuid(there.st_uid).pw_name
    with suppress(KeyError):
        group = grp.getgrgid(there.st_gid).gr_name
    if os.access(closed, os.R_OK | os.W_OK | os.X_OK):
        return None
    return f"{owner}'s" + (f", for the group {group}" if there.st_mode & 0o070 else " alone")


class disk_errors:
    """A context that turns the operating system's errors into ours; as a generator it would cost four times as much."""

    __slots__ = ("_path",)

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, InterruptedError):
            raise unusable(Path(self._path), error) from error


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write where ``path`` lies (or will lie)."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


@functools.cache
def is_network(path: Path) -> bool:
    """Whether a path lies on a file system of several machines, where locks and SQLite's WAL are not to be trusted."""
    remote = {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "pvfs2", "orangefs",
        "panfs", "wekafs", "dvs", "gfs2", "ocfs2", "virtiofs",
    }  # fmt: skip
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return False
    inside = [(len(point), kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return bool(inside) and (max(inside)[1] in remote or max(inside)[1].startswith("fuse."))


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def boot() -> str | None:
    """Tells one start of a machine from another; None where the system does not say."""
    with suppress(OSError):
        return BOOT.read_text().strip()
    return None


def sync_folder(folder: Path) -> None:
    """Everything written so far on the file system of ``folder`` reaches the disk.

    One syncfs for a thousand files costs a third of an fsync for each of them.
    """
    if _libc() is None:
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _libc().syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any, *, durable: bool = True) -> None:
    """Replaces a JSON file in one step; unless it need not be ``durable``, it is on the disk then."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n", durable=durable)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Likewise a file of text."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # As the umask says, without asking for it: that would change it for a moment, for all threads.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """A JSON file's content; None where there is none.

    Raises: CacheError where it is broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise unusable(path.parent, error) from error
    except (OSError, ValueError) as error:
        raise CacheError(f"{path} cannot be read: {error}", hint="medfetch gc, or remove the file") from error


def check_format(content: Any, known: int, path: Path) -> None:
    """``known``: the newest number in ``format`` that this medfetch reads; it reads all before, too.

    Raises: CacheError for a newer one.
    """
    found = content.get("format", 1) if isinstance(content, dict) else 1
    if not isinstance(found, int) or found > known:
        raise CacheError(f"{path} was written by a newer medfetch (format {found!r}, not {known})", hint=UPGRADE)
