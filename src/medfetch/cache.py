"""Where things lie in the cache, and how bytes become durable. It must not know what the files mean.

CACHE/
  CACHEDIR.TAG
  .medfetch/hosts/<host>/            slots and pauses, shared by all processes
  .medfetch/citations/               who wrote what has a DOI, as its agency has told
  .medfetch/croissants/              descriptions of datasets, as they were at their addresses
  .medfetch/dois/                    what DOIs stand for, as DataCite has told
  .medfetch/recipes/<dataset>/       recipes that came with data from another machine, by version
  <dataset>/<version>/               the home: whole, verified files …
    .medfetch/
      ledger.sqlite                  … each with size, digest and origin
      receipt.json
      get.lease                      who works here alone, or enters just now
      tasks/                         who is at work, one file a run
      journal/                       how runs went, one file a run
      plans/<plan>/plan.json, 00000.sqlite, 00000.lease, 00000.ended
      partial/                       bytes on their way
      packed.json, piles/            of a home that is kept in archives: how, and what waits for its archive
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import secrets
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medfetch.errors import UPGRADE, CacheError, DiskFull, UsageProblem

INNER = ".medfetch"
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is a cache of medfetch (https://bford.info/cachedir/).\n"
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Linux: another one after each start of the machine."""
EXPORT = "MEDFETCH.txt"
"""What tells a person that a folder is an export, and what to do with it."""
NO_VERSION = "current"
"""The folder of a dataset whose publisher names no version."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one dataset in one version; only paths, nothing is touched."""

    root: Path

    @property
    def inner(self) -> Path:
        return self.root / INNER

    @property
    def ledger(self) -> Path:
        return self.inner / "ledger.sqlite"

    @property
    def receipt(self) -> Path:
        return self.inner / "receipt.json"

    @property
    def plans(self) -> Path:
        return self.inner / "plans"

    @property
    def partial(self) -> Path:
        return self.inner / "partial"

    @property
    def packed(self) -> Path:
        return self.inner / "packed.json"

    @property
    def piles(self) -> Path:
        return self.inner / "piles"

    @property
    def lease(self) -> Path:
        return self.inner / "get.lease"

    @property
    def tasks(self) -> Path:
        return self.inner / "tasks"

    @property
    def journal(self) -> Path:
        return self.inner / "journal"

    @property
    def cache(self) -> Path:
        return self.root.parent.parent


def home(cache: Path, dataset: str, version: str | None) -> Home:
    return Home(cache / dataset / version_name(version))


def version_name(version: str | None) -> str:
    """What a version's folder is called."""
    return quote(version or NO_VERSION, safe="+@ ")


def is_there(home: Home) -> bool:
    """Whether there is anything of a dataset. Raises: CacheError where that is not for this user to know."""
    try:
        return home.inner.exists()
    except OSError as error:
        raise unusable(home.cache, error) from error


def homes(cache: Path) -> Iterator[Home]:
    """All dataset homes of a cache, in order."""
    for inner in sorted(cache.glob(f"[!.]*/*/{INNER}")):
        yield Home(inner.parent)


def hosts_folder(cache: Path) -> Path:
    return cache / INNER / "hosts"


def dois_folder(cache: Path) -> Path:
    return cache / INNER / "dois"


def citations_folder(cache: Path) -> Path:
    return cache / INNER / "citations"


def croissants_folder(cache: Path) -> Path:
    return cache / INNER / "croissants"


def recipes_folder(cache: Path) -> Path:
    return cache / INNER / "recipes"


@dataclass(frozen=True, slots=True)
class Readers:
    """Who may read a home besides its owner: whoever the umask lets, nobody (``private``), or a group.

    In a group's cache (``of_cache``) whoever may read may also write: go on with it, repair it, remove it.
    """

    private: bool = False
    group: int | None = None
    """Number of the group that the agreement covers or, without ``private``, whose cache it is."""
    together: int | None = None
    """The mode of the folder of a group's cache; None for a cache of one person."""

    @property
    def folder_mode(self) -> int:
        # The set-group-ID bit hands the group down to all that is made in there.
        if not self.private:
            return 0o777 if self.together is None else self.together
        if self.group is None:
            return 0o700
        return 0o2750 if self.together is None else 0o2770

    @property
    def as_umask(self) -> bool:
        """Whether all is left to the umask."""
        return not self.private and self.together is None

    @property
    def file_mode(self) -> int:
        return self.folder_mode & 0o666

    @contextmanager
    def only(self) -> Iterator[None]:
        """What is made meanwhile, by this process and those that it starts, is for these readers only."""
        if self.as_umask:
            yield
            return
        before = os.umask(0o777 & ~self.folder_mode)
        try:
            yield
        finally:
            os.umask(before)

    def admit(self, path: Path) -> None:
        """Gives one file or folder of a private home to its readers, and takes it from all others."""
        if self.group is not None:
            os.chown(path, -1, self.group)
        path.chmod(self.folder_mode if path.is_dir() else self.file_mode)


EVERYBODY = Readers()
TURN = 0.5
"""Seconds between two looks whether a thread's turn has come."""


class Turns:
    """Threads of one process that make files for different readers: the umask is the same for all of them.

    Those that leave it as it is run side by side; whoever changes it (``Readers.only``) is alone meanwhile.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._here: dict[int, bool] = {}
        """By thread: whether it is alone."""

    @contextmanager
    def turn(self, readers: Readers, look: Callable[[], None] = lambda: None) -> Iterator[None]:
        """``look`` is called now and then while others are waited for, and may raise."""
        me, alone = threading.get_ident(), not readers.as_umask
        with self._changed:
            within = me in self._here
            if not within:
                while self._here if alone else any(self._here.values()):
                    self._changed.wait(TURN)
                    look()
                self._here[me] = alone
        try:
            yield
        finally:
            if not within:
                with self._changed:
                    del self._here[me]
                    self._changed.notify_all()


TURNS = Turns()


def of_cache(cache: Path) -> Readers:
    """Who may read what is under no agreement: in a group's cache whoever may read its folder, else as the umask says.

    A cache is a group's where its folder, or the one in which it will be made, is writable to the group and has the
    set-group-ID bit: so all members agree on that without any setting.
    """
    while not cache.exists() and cache != cache.parent:
        cache = cache.parent
    there = cache.stat()
    mode = stat.S_IMODE(there.st_mode)
    if mode & 0o2070 != 0o2070 or mode & stat.S_ISVTX:
        return EVERYBODY
    return Readers(group=there.st_gid, together=mode)


def as_there(home: Home, readers: Readers) -> Readers:
    """The readers of a private home that another member of a group began: whoever goes on with it changes nothing.

    Raises: CacheError where this user is not among them.
    """
    if not readers.private or readers.together is None:
        return readers
    try:
        now = home.root.stat()
    except FileNotFoundError:
        return readers
    except OSError as error:
        raise unusable(home.cache, error) from error
    mode = stat.S_IMODE(now.st_mode)
    if now.st_uid == os.geteuid() or mode & 0o2077 != 0o2070:
        return readers
    return replace(readers, group=now.st_gid)


def group_number(name: str) -> int:
    """Raises: UsageProblem where there is no such group, or this user is not in it."""
    import grp

    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageProblem(f"there is no group {name!r} on this machine", hint="see the setting `groups`") from None
    if number not in (os.getegid(), *os.getgroups()):
        raise UsageProblem(
            f"you are not in the group {name!r}, which is to read what comes under the agreement",
            hint="ask whoever manages the machine, or take it out of the setting `groups`",
        )
    return number


def prepare(home: Home, readers: Readers = EVERYBODY) -> None:
    """Makes the folders of a home; where other readers had been let in before, they are shut out.

    Raises: CacheError where the cache cannot be written.
    """
    cache = home.cache
    try:
        shared = of_cache(cache)
        with shared.only():
            cache.mkdir(parents=True, exist_ok=True)
            tag = cache / "CACHEDIR.TAG"
            # An export is meant for backup programs and the like.
            if not tag.exists() and not (cache / EXPORT).exists():
                tag.write_text(TAG)
            hosts_folder(cache).mkdir(parents=True, exist_ok=True)
            if not shared.as_umask:
                _close(cache / INNER, shared)
        with readers.only():
            home.root.parent.mkdir(exist_ok=True)
            home.root.mkdir(exist_ok=True)
            if not readers.as_umask:
                # Whoever may write there could put another folder in the place of this one.
                if home.root.parent.stat().st_uid == os.geteuid():
                    readers.admit(home.root.parent)
                _close(home.root, readers)
            for folder in (home.inner, home.plans, home.partial, home.tasks):
                folder.mkdir(exist_ok=True)
    except OSError as error:
        raise unusable(cache, error) from error


def _close(root: Path, readers: Readers) -> None:
    """Gives a folder and all that is in it to its readers, where it is not theirs, or not theirs alone."""
    now = root.stat()
    if stat.S_IMODE(now.st_mode) == readers.folder_mode and readers.group in (None, now.st_gid):
        return
    if not readers.private and now.st_uid != os.geteuid():
        return  # another's, and from before the cache was the group's
    root.chmod(0o700)  # Nobody comes in while it is being done.
    for folder, _, files in os.walk(root):
        for path in (*(Path(folder, name) for name in files), Path(folder)):
            # Another medfetch at work may have moved it, and what is another member's is theirs to give.
            with suppress(FileNotFoundError, PermissionError):
                if path != root:
                    readers.admit(path)
    readers.admit(root)


def remove_if_empty(home: Home) -> None:
    """Undoes ``prepare`` where nothing came of it."""
    with suppress(OSError):
        if home.packed.exists():
            return
        # Where there is a plan, somebody may be at work already: the partial folder is theirs.
        for folder in (home.plans, home.partial, home.tasks, home.inner, home.root, home.root.parent):
            folder.rmdir()


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
