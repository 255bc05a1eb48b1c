"""Who may read what is in a cache: its owner, the group that an agreement covers, the group whose cache it is.

It must not know where things lie.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medfetch.errors import UsageProblem
from medfetch.storage import unusable

if TYPE_CHECKING:
    from medfetch.cache import Home


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


def give(root: Path, readers: Readers) -> None:
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
