"""What the file system of a folder can hold: a USB disk's knows fewer names than others, and no modes. It must not know
what is to be put there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

FAT = ("vfat", "msdos")
LARGEST_ON_FAT = 2**32 - 1
"""Bytes of a file: FAT has 32 bits for them."""
REFUSED = re.compile(r'[\x00-\x1f"*:<>?\\|]')
"""What no name on FAT, exFAT and NTFS may hold (Microsoft's "Naming Files, Paths, and Namespaces")."""
AT_END = (".", " ")
"""What such systems cut off names."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A file system, as far as it matters to copies."""

    any_name: bool = True
    """Whether a name may hold whatever it may on Linux's own."""
    modes: bool = True
    """Whether it keeps who may read a file."""
    largest: int | None = None
    """Bytes of a file at the most."""

    def refuses(self, path: str, size: int) -> str | None:
        """Why a file cannot be there, if so."""
        if self.largest is not None and size > self.largest:
            return f"{size} bytes are more than the file system of the target can hold in a file ({self.largest})"
        if not self.any_name:
            for name in path.split("/"):
                if REFUSED.search(name) or name.endswith(AT_END):
                    return f"the file system of the target cannot hold the name {name!r}"
        return None


def of(folder: Path) -> Volume:
    """Tries out what the file system of a folder, which is there, can hold. Raises: OSError."""
    trial = Path(tempfile.mkdtemp(dir=folder, prefix=".medfetch-"))
    try:
        trial.chmod(0o700)
    except PermissionError:
        modes = False
    else:
        modes = stat.S_IMODE(trial.stat().st_mode) == 0o700
    try:
        # One that a file system takes and shows under another name it has not taken.
        (trial / 'a:"b').touch()
        any_name = os.listdir(trial) == ['a:"b']
    except OSError:
        any_name = False
    finally:
        shutil.rmtree(trial)
    return Volume(any_name, modes, LARGEST_ON_FAT if _kind(folder) in FAT else None)


def _kind(folder: Path) -> str | None:
    """What the system calls the kind of file system; None where it does not say."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return None
    # A blank in the name of a disk is written \040 there.
    points = ((point.replace("\\040", " "), kind) for point, kind in mounts)
    inside = [(len(point), kind) for point, kind in points if folder.resolve().is_relative_to(point)]
    return max(inside)[1] if inside else None
