from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import py7zr
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from medfetch.errors import DiskFull, IntegrityError, MedfetchError, RecipeError
from medfetch.unpack import extract, staging
from medfetch.unpack.pieces import open_pieces
from medfetch.unpack.staging import Staging

TREE = {
    "images/case 1/ct.nii": bytes(range(256)) * 40,
    "images/100%25/größe.txt": "µ".encode(),
    "__MACOSX/._x": b"junk, and yet kept",
    ".DS_Store": b"likewise",
    "empty": b"",
    "n" * 255: b"long",
}
ROOMY = 1 << 40
Tree = dict[str, bytes]


# -- making archives -------------------------------------------------------------------------------------------------


def make_zip(path: Path, tree: Tree, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("folder/", b"")
        for name, data in tree.items():
            archive.writestr(name, data)
    return path


def tar_bytes(tree: Tree, *special: tarfile.TarInfo, format: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in special:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return made.getvalue()


def special(name: str, type_: bytes, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = type_, target, size
    return info


def make_7z(path: Path, tree: Tree, **options: object) -> Path:
    with py7zr.SevenZipFile(path, "w", **options) as archive:
        for name, data in tree.items():
            archive.writestr(data, name)
    return path


def compressed(name: str, data: bytes) -> bytes:
    import bz2
    import gzip
    import lzma

    checked = {zstd.CompressionParameter.checksum_flag: 1}
    return {
        "tar": bytes,
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar.zst": lambda plain: zstd.compress(plain, options=checked),
    }[name](data)


MAKERS: dict[str, Callable[[Path, Tree], Path]] = {
    "zip": make_zip,
    "stored.zip": lambda path, tree: make_zip(path, tree, zipfile.ZIP_STORED),
    "lzma.zip": lambda path, tree: make_zip(path, tree, zipfile.ZIP_LZMA),
    "7z": make_7z,
}
for _suffix in ("tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"):

    def _maker(path: Path, tree: Tree, suffix: str = _suffix) -> Path:
        path.write_bytes(compressed(suffix, tar_bytes(tree)))
        return path

    MAKERS[_suffix] = _maker

each_format = pytest.mark.parametrize("suffix", MAKERS)
one_of_each = pytest.mark.parametrize("suffix", ["zip", "tar.gz", "7z"])


def kind(suffix: str) -> str:
    return "tar" if "tar" in suffix else suffix.rpartition(".")[2]


def unpack(pieces: Path | Sequence[Path], kind: str, into: Path, free: Callable[[], int] = lambda: ROOMY) -> Tree:
    """Unpacks all and returns it, having checked what is promised of every member."""
    found = {}
    pieces = [pieces] if isinstance(pieces, Path) else pieces
    members = list(extract(pieces, kind, into, free_bytes=free))
    for member in members:
        data = member.staged.read_bytes()
        assert member.sha256 == hashlib.sha256(data).hexdigest()
        assert member.size == len(data)
        assert member.staged.is_relative_to(into)
        assert stat.S_ISREG(member.staged.lstat().st_mode)
        assert member.name not in found
        found[member.name] = data
    assert len({member.staged for member in members}) == len(members)
    return found


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# -- what goes in comes out ------------------------------------------------------------------------------------------


@each_format
def test_members_come_out_as_they_went_in(suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", TREE)
    assert unpack(archive, kind(suffix), tmp_path / "staging") == TREE


@one_of_each
def test_an_archive_without_files(suffix: str, tmp_path: Path) -> None:
    assert unpack(MAKERS[suffix](tmp_path / "archive", {}), kind(suffix), tmp_path / "staging") == {}


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_dots_in_names_are_normalised(suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", {"./a": b"1", "b/./c//d": b"2", ".hidden": b"3"})
    assert unpack(archive, kind(suffix), tmp_path / "staging") == {"a": b"1", "b/c/d": b"2", ".hidden": b"3"}


def test_a_zip_in_part(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a/1.nii": b"1", "a/2.csv": b"2", "b/3.nii": b"3", "big": bytes(10**6)})
    only = (("a", "b/*"), ("*.nii",))
    members = extract([archive], "zip", tmp_path / "staging", free_bytes=lambda: 100, only=only)
    assert [member.name for member in members] == ["a/1.nii", "b/3.nii"]
    with pytest.raises(RecipeError, match="a part of 'tar'"):
        extract([archive], "tar", tmp_path / "staging", free_bytes=lambda: ROOMY, only=only)


def test_more_members_than_fit_in_one_staging_folder(tmp_path: Path) -> None:
    tree = {f"{number}": str(number).encode() for number in range(staging.PER_FOLDER + 2)}
    assert unpack(make_zip(tmp_path / "a.zip", tree), "zip", tmp_path / "staging") == tree
    assert len(list((tmp_path / "staging").iterdir())) == 2


def test_modes_owners_and_times_of_a_tar_are_not_applied(tmp_path: Path) -> None:
    info = special("program", tarfile.REGTYPE)
    info.mode, info.uid, info.mtime = 0o6777, 12345, 1
    (tmp_path / "a.tar").write_bytes(tar_bytes({}, info))
    (member,) = extract([tmp_path / "a.tar"], "tar", tmp_path / "staging", free_bytes=lambda: ROOMY)
    found = member.staged.stat()
    assert stat.S_IMODE(found.st_mode) & 0o7111 == 0
    assert found.st_uid == os.getuid()


def test_a_sparse_member_is_filled_with_zeros(tmp_path: Path) -> None:
    info = special("sparse", tarfile.REGTYPE, size=3)
    info.pax_headers = {"GNU.sparse.map": "4,3", "GNU.sparse.size": "10"}
    (tmp_path / "a.tar").write_bytes(tar_bytes({"first": b"1"}, info))
    assert unpack(tmp_path / "a.tar", "tar", tmp_path / "staging") == {"first": b"1", "sparse": bytes(10)}


def test_an_unknown_kind_is_the_recipes_fault(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="rar") as caught:
        extract([make_zip(tmp_path / "a.zip", TREE)], "rar", tmp_path / "staging", free_bytes=lambda: ROOMY)
    assert "7z" in str(caught.value.hint)


# -- names -----------------------------------------------------------------------------------------------------------

HOSTILE = [
    ("../outside", "out of its folder"),
    ("a/../../outside", "out of its folder"),
    ("a/..", "out of its folder"),
    ("/etc/passwd", "absolute"),
    ("//server/share", "absolute"),
    ("C:/windows", "drive"),
    ("c:windows", "drive"),
    ("a\\b", "backslash"),
    ("..\\outside", "backslash"),
    ("./.", "no name"),
    (".medfetch/plans/1.sqlite", "medfetch's own"),
    ("./.MedFetch/x", "medfetch's own"),
    ("n" * 256, "component"),
    ("é" * 128, "component"),
    ("n/" * 1600 + "n", "3072"),
]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(("name", "says"), HOSTILE, ids=lambda value: str(value)[:20])
def test_a_dangerous_name_is_refused(name: str, says: str, suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", {"good": b"1", name: b"2"})
    with pytest.raises(IntegrityError, match=says) as caught:
        unpack(archive, kind(suffix), tmp_path / "in" / "staging")
    assert "archive" in caught.value.message
    assert repr(name)[1:100] in caught.value.message
    assert not (tmp_path / "in" / "outside").exists()


@pytest.mark.parametrize("name", ["../outside", "..\\outside", "/etc/passwd", ".medfetch/x"])
def test_a_dangerous_name_is_refused_in_7z(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # py7zr would not write such a name; others do
    monkeypatch.setattr(py7zr.SevenZipFile, "_sanitize_archive_arcname", staticmethod(lambda arcname: arcname))
    monkeypatch.setattr("py7zr.py7zr.check_archive_path", lambda arcname: True)
    archive = make_7z(tmp_path / "a.7z", {"good": b"1", name: b"2"})
    with pytest.raises(IntegrityError, match=r"a\.7z: member"):
        unpack(archive, "7z", tmp_path / "staging")
    assert written(tmp_path / "staging") == 0


def test_a_nul_in_a_zip_name_does_not_hide_the_rest_of_it(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"good.txt#.exe": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"good.txt#.exe", b"good.txt\0.exe"))
    with pytest.raises(IntegrityError, match="NUL"):
        unpack(archive, "zip", tmp_path / "staging")


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes({"xxx": b"1"}, format=tarfile.USTAR_FORMAT))
    broken = bytearray((tmp_path / "a.tar").read_bytes())
    at = broken.index(b"xxx")
    broken[at + 1] = 0xFF
    broken[at + 148 : at + 156] = b"%06o\0 " % (sum(broken[at : at + 148]) + 256 + sum(broken[at + 156 : at + 512]))
    (tmp_path / "a.tar").write_bytes(broken)
    with pytest.raises(IntegrityError, match="not UTF-8"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a", "./a"], "twice"),
        (["a/b", "a//b"], "twice"),
        (["a", "a/b"], "both a file and a folder"),
        (["a/b/c", "a/b"], "both a file and a folder"),
        (["a", "a/b/c/d"], "both a file and a folder"),
    ],
)
def test_members_that_collide_are_refused(names: list[str], says: str, suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", dict.fromkeys(names, b"1"))
    with pytest.raises(IntegrityError, match=says):
        unpack(archive, kind(suffix), tmp_path / "staging")


def test_names_that_differ_only_in_case_are_two_files(tmp_path: Path) -> None:
    tree = {"scan.dcm": b"1", "SCAN.dcm": b"2"}
    assert unpack(make_zip(tmp_path / "a.zip", tree), "zip", tmp_path / "staging") == tree


name_parts = st.sampled_from(
    ["..", ".", "", "a", "b\\", "C:", ".medfetch", "\0", "é" * 130, "\udcff", " ", "%2e%2e", "~"]
)


@given(st.lists(st.one_of(name_parts, st.text(max_size=5)), max_size=6).map("/".join))
def test_a_name_is_refused_or_stays_in_its_folder(tmp_path_factory: pytest.TempPathFactory, raw: str) -> None:
    try:
        name = Staging([Path(__file__)], Path("unused"), lambda: ROOMY, lambda: False).claim(raw)
    except IntegrityError:
        return
    parts = PurePosixPath(name).parts
    assert name == "/".join(parts)
    assert parts
    assert not {"..", ".", "/", ".medfetch"} & set(parts[:1])
    assert ".." not in parts
    assert "\0" not in name and "\\" not in name
    assert os.path.normpath(os.path.join("/home/set", name)).startswith("/home/set/")


# -- links and special files -----------------------------------------------------------------------------------------


def test_links_to_files_of_a_tar_become_copies(tmp_path: Path) -> None:
    links = [
        special("sub/early", tarfile.SYMTYPE, "../late/file"),
        special("hard", tarfile.LNKTYPE, "late/file"),
        special("dots", tarfile.SYMTYPE, "./sub/.././late/file"),
        special("chain", tarfile.SYMTYPE, "hard"),
        special("late/file", tarfile.REGTYPE, size=5),
    ]
    (tmp_path / "a.tar").write_bytes(tar_bytes({}, *links))
    found = unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")
    assert found == dict.fromkeys(["sub/early", "hard", "dots", "chain", "late/file"], bytes(5))


def zip_with_link(path: Path, name: str, target: str, mode: int = stat.S_IFLNK) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("file", b"bytes")
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, (mode | 0o777) << 16
        archive.writestr(info, target)
    return path


def test_links_to_files_of_a_zip_become_copies(tmp_path: Path) -> None:
    archive = zip_with_link(tmp_path / "a.zip", "sub/link", "../file")
    assert unpack(archive, "zip", tmp_path / "staging") == {"file": b"bytes", "sub/link": b"bytes"}


@pytest.mark.parametrize("format", ["tar symbolic", "tar hard", "zip"])
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("link", "/etc/passwd"),
        ("link", "../file"),
        ("a/link", "../../file"),
        ("link", "..\\file"),
        ("link", "folder"),
        ("link", "missing"),
        ("link", "link"),
        ("link", ""),
    ],
)
def test_any_other_link_is_refused(name: str, target: str, format: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    if format == "zip":
        zip_with_link(archive, name, target)
    else:
        type_ = tarfile.SYMTYPE if format == "tar symbolic" else tarfile.LNKTYPE
        archive.write_bytes(tar_bytes({"file": b"bytes"}, special(name, type_, target)))
    with pytest.raises(IntegrityError, match=f"'{name}' is a link"):
        unpack(archive, format.split()[0], tmp_path / "staging")


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    links = [special("a", tarfile.SYMTYPE, "b"), special("b", tarfile.SYMTYPE, "c"), special("c", tarfile.SYMTYPE, "b")]
    (tmp_path / "a.tar").write_bytes(tar_bytes({}, *links))
    with pytest.raises(IntegrityError, match="'a' is a link"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")


def test_a_file_behind_a_linked_folder_is_refused(tmp_path: Path) -> None:
    escape = [special("x", tarfile.SYMTYPE, "/tmp"), special("x/evil", tarfile.REGTYPE)]
    (tmp_path / "a.tar").write_bytes(tar_bytes({}, *escape))
    with pytest.raises(IntegrityError, match="'x' is a link out of the archive"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")


def test_a_link_in_7z_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(b"1")
    (tmp_path / "tree/link").symlink_to("file")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as archive:
        archive.writeall(tmp_path / "tree", "tree")
    with pytest.raises(IntegrityError, match="'tree/link' is a link"):
        unpack(tmp_path / "a.7z", "7z", tmp_path / "staging")


@pytest.mark.parametrize("type_", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=["chr", "blk", "fifo"])
def test_devices_and_pipes_are_refused(type_: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes({}, special("dev", type_)))
    with pytest.raises(IntegrityError, match="'dev' is neither a file"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")
    archive = zip_with_link(tmp_path / "a.zip", "dev", "", stat.S_IFIFO)
    with pytest.raises(IntegrityError, match="'dev' is neither a file"):
        unpack(archive, "zip", tmp_path / "staging")


# -- broken archives -------------------------------------------------------------------------------------------------


@each_format
def test_a_cut_archive_is_refused_wherever_it_is_cut(suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", {"a": b"1" * 600, "b": os.urandom(512), "c": b"3"})
    whole = archive.read_bytes()
    end = len(whole) if suffix != "tar" else len(whole.rstrip(b"\0")) + 512
    for length in [*range(0, end, max(1, end // 60)), end - 1]:
        archive.write_bytes(whole[:length])
        with pytest.raises(IntegrityError, match="archive"):
            unpack(archive, kind(suffix), tmp_path / "staging")


@each_format
def test_flipped_bits_are_noticed_or_harmless(suffix: str, tmp_path: Path) -> None:
    tree = {"a": b"1" * 600, "b": bytes(range(256)), "c": b"3"}
    archive = MAKERS[suffix](tmp_path / "archive", tree)
    whole = archive.read_bytes()
    noticed = 0
    if suffix == "tar":  # has checksums for its headers only
        whole = tar_bytes({"a": b""})[:-9216]
        tree = {"a": b""}
    for position in range(0, len(whole), max(1, len(whole) // 120)):
        broken = bytearray(whole)
        broken[position] ^= 0x10
        archive.write_bytes(broken)
        try:
            assert unpack(archive, kind(suffix), tmp_path / "staging") == tree, f"byte {position}"
        except IntegrityError:
            noticed += 1
        except MedfetchError as error:
            assert "compression" in error.message  # a method that nobody has
            noticed += 1
    assert noticed > 10


def test_a_tar_that_ends_between_two_members_is_cut(tmp_path: Path) -> None:
    whole = tar_bytes({"a": b"1", "b": b"2"})
    (tmp_path / "a.tar").write_bytes(whole[: whole.index(b"b\0\0\0")])
    with pytest.raises(IntegrityError, match="header"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")


def test_a_gzip_checksum_behind_the_end_of_the_tar_counts(tmp_path: Path) -> None:
    packed = bytearray(compressed("tar.gz", tar_bytes({"a": b"1"})))
    packed[-5] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(packed)
    with pytest.raises(IntegrityError, match="CRC"):
        unpack(tmp_path / "a.tar.gz", "tar", tmp_path / "staging")


def test_a_zip_whose_directory_loses_members_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"first": b"1", "second": b"2"})
    whole = bytearray(archive.read_bytes())
    first, second = whole.index(b"first", whole.index(b"PK\1\2")), whole.rindex(b"PK\1\2")
    # the first entry's comment swallows the second entry
    struct.pack_into("<H", whole, first - 46 + 32, whole.rindex(b"PK\5\6") - second)
    archive.write_bytes(whole)
    assert len(zipfile.ZipFile(archive).infolist()) == 2, "zipfile itself does not mind; three were written"
    with pytest.raises(IntegrityError, match="has 3 members, and lists 2"):
        unpack(archive, "zip", tmp_path / "staging")


def declare(path: Path, size: int) -> None:
    """Makes the last entry of a zip's directory declare another size than it has."""
    whole = bytearray(path.read_bytes())
    struct.pack_into("<I", whole, whole.rindex(b"PK\1\2") + 24, size)
    path.write_bytes(whole)


@pytest.mark.parametrize("size", [0, 1, 999, 1001, 100_000])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_that_lies_about_a_size_is_refused(size: int, compression: int, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"liar": b"x" * 1000}, compression)
    declare(archive, size)
    with pytest.raises(IntegrityError):
        unpack(archive, "zip", tmp_path / "staging")
    assert written(tmp_path / "staging") <= 1000


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE html><html>Log in</html>" * 100, b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c"])
@pytest.mark.parametrize("kind", ["zip", "tar", "7z"])
def test_what_is_no_archive_is_refused(kind: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(IntegrityError):
        unpack(tmp_path / "a", kind, tmp_path / "staging")


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"secret": b"x"})
    whole = bytearray(archive.read_bytes())
    whole[whole.rindex(b"PK\1\2") + 8] |= 1
    archive.write_bytes(whole)
    with pytest.raises(IntegrityError, match=r"a\.zip: is encrypted"):
        unpack(archive, "zip", tmp_path / "staging")


@pytest.mark.parametrize("headers_too", [False, True])
def test_an_encrypted_7z_says_so(headers_too: bool, tmp_path: Path) -> None:
    archive = make_7z(tmp_path / "a.7z", TREE, password="secret", header_encryption=headers_too)
    with pytest.raises(IntegrityError, match=r"a\.7z: is encrypted"):
        unpack(archive, "7z", tmp_path / "staging")


def test_an_unknown_compression_is_not_called_broken(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"ppmd": b"x" * 1000})
    whole = bytearray(archive.read_bytes())
    struct.pack_into("<H", whole, whole.index(b"PK\3\4", 10) + 8, 98)
    struct.pack_into("<H", whole, whole.rindex(b"PK\1\2") + 10, 98)
    archive.write_bytes(whole)
    with pytest.raises(MedfetchError, match="compression") as caught:
        unpack(archive, "zip", tmp_path / "staging")
    assert type(caught.value) is MedfetchError
    assert "--no-unpack" in str(caught.value.hint)


def test_errors_use_the_name_that_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "3f2a.part").write_bytes(b"")
    for kind in ("zip", "tar", "7z"):
        with pytest.raises(IntegrityError, match=r"^Task02_Heart: "):
            list(extract([tmp_path / "3f2a.part"], kind, tmp_path / "s", free_bytes=lambda: ROOMY, name="Task02_Heart"))


# -- bombs and space -------------------------------------------------------------------------------------------------

ZEROS = {"mask.nii": bytes(10_000_000)}


@each_format
def test_an_honest_volume_of_zeros_is_no_bomb(suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", ZEROS)
    assert unpack(archive, kind(suffix), tmp_path / "staging") == ZEROS


@each_format
def test_what_does_not_fit_is_refused_before_the_first_byte(suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", ZEROS)
    with pytest.raises(DiskFull, match="archive: 10,000,000 bytes are still to be unpacked and 9,999,999 are free"):
        unpack(archive, kind(suffix), tmp_path / "staging", lambda: 9_999_999)
    assert written(tmp_path / "staging") == 0


@pytest.mark.parametrize("suffix", ["zip", "7z"])
def test_where_the_sizes_of_all_members_are_known_their_sum_must_fit(suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", {"a": bytes(1000), "b": bytes(1000)})
    with pytest.raises(DiskFull, match="2,000 bytes"):
        unpack(archive, kind(suffix), tmp_path / "staging", lambda: 1999)
    assert written(tmp_path / "staging") == 0


def test_a_member_that_is_longer_than_it_declared_is_stopped(tmp_path: Path) -> None:
    space = Staging([Path(__file__)], tmp_path, lambda: ROOMY, lambda: False)
    with pytest.raises(IntegrityError, match="'liar' is longer than the 5 bytes"):
        space.store(space.claim("liar"), [b"123", b"456", b"789"], 5)
    assert written(tmp_path) == 3


@one_of_each
def test_space_that_others_take_meanwhile_is_noticed(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "ASK_EVERY", 1_000_000)
    archive = MAKERS[suffix](tmp_path / "archive", {str(number): bytes(500_000) for number in range(20)})
    answers = iter([20_000_000, 10_000_000, *[100_000] * 100])
    with pytest.raises(DiskFull, match="100,000 are free"):
        unpack(archive, kind(suffix), tmp_path / "staging", lambda: next(answers))
    assert 0 < written(tmp_path / "staging") < 5_000_000


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "tiny"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if os.getuid() or not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs to be root, and allowed to mount a tmpfs")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@one_of_each
def test_a_disk_that_is_full_all_the_same(suffix: str, tmp_path: Path, tiny_disk: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", {"a": b"small", "b": os.urandom(3_000_000)})
    with pytest.raises(DiskFull, match="archive: the disk became full"):
        unpack(archive, kind(suffix), tiny_disk / "staging")


def test_a_zip_that_declares_the_absurd_is_a_bomb_before_the_first_byte(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", ZEROS)
    declare(archive, 0xFFFFFFF0)
    with pytest.raises(IntegrityError, match=r"a\.zip: .* bomb"):
        unpack(archive, "zip", tmp_path / "staging")
    assert written(tmp_path / "staging") == 0


def test_a_sparse_header_that_declares_the_absurd_is_a_bomb(tmp_path: Path) -> None:
    info = special("sparse", tarfile.REGTYPE, size=3)
    info.pax_headers = {"GNU.sparse.map": "0,3", "GNU.sparse.size": str(1 << 44)}
    (tmp_path / "a.tar").write_bytes(tar_bytes({}, info))
    with pytest.raises(IntegrityError, match="bomb"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")
    assert written(tmp_path / "staging") == 0


def test_a_bomb_that_declares_little_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "RATIO_FLOOR", 1_000_000)
    monkeypatch.setattr(staging, "RATIO", 1000)
    packed = compressed("tar.bz2", tar_bytes({str(number): bytes(200_000) for number in range(50)}))
    (tmp_path / "a.tar.bz2").write_bytes(packed)
    limit = max(1_000_000, 1000 * len(packed))
    assert limit < 10_000_000
    with pytest.raises(IntegrityError, match="bomb"):
        unpack(tmp_path / "a.tar.bz2", "tar", tmp_path / "staging")
    assert 0 < written(tmp_path / "staging") <= limit


def test_a_bomb_of_members_that_share_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "RATIO_FLOOR", 100_000_000)
    archive = make_zip(tmp_path / "a.zip", {"000000": bytes(10_000_000)})
    whole = archive.read_bytes()
    start, end = whole.rindex(b"PK\1\2"), whole.rindex(b"PK\5\6")
    entry, last = whole[start:end], bytearray(whole[end:])
    copies = 20_000
    struct.pack_into("<HHI", last, 8, copies + 2, copies + 2, end - whole.index(b"PK\1\2") + copies * len(entry))
    shared = b"".join(entry.replace(b"000000", f"{number:06}".encode()) for number in range(1, copies + 1))
    archive.write_bytes(whole[:end] + shared + bytes(last))
    with pytest.raises(IntegrityError, match="bomb"):
        unpack(archive, "zip", tmp_path / "staging")
    assert written(tmp_path / "staging") == 0


def test_a_bomb_behind_the_end_of_a_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "RATIO_FLOOR", 1_000_000)
    monkeypatch.setattr(staging, "RATIO", 1000)
    (tmp_path / "a.tar.bz2").write_bytes(compressed("tar.bz2", tar_bytes({"a": b"1"}) + bytes(10_000_000)))
    with pytest.raises(IntegrityError, match="bomb"):
        unpack(tmp_path / "a.tar.bz2", "tar", tmp_path / "staging")


@pytest.mark.parametrize("type_", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_huge_extended_header_is_not_read_into_memory(type_: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes({"a": b"1"}, special("x", type_, size=(1 << 20) + 1)))
    with pytest.raises(IntegrityError, match="extended header of 1,048,577 bytes"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")


@pytest.mark.parametrize("where", ["header", "extended header", "sparse map"])
def test_a_negative_size_does_not_lead_round_and_round(where: str, tmp_path: Path) -> None:
    info = special("x", tarfile.REGTYPE, size=0 if where != "header" else 512)
    if where != "header":
        info.pax_headers = {"size" if where == "extended header" else "GNU.sparse.size": "-1024"}
        info.pax_headers |= {"GNU.sparse.map": "0,0"} if where == "sparse map" else {}
    made = bytearray(tar_bytes({"a": b"1"}, info))
    if where == "header":
        at = made.index(b"x\0\0\0")
        made[at + 124 : at + 136] = (-1024).to_bytes(12, "big", signed=True)
        made[at + 148 : at + 156] = b"%06o\0 " % (sum(made[at : at + 148]) + 256 + sum(made[at + 156 : at + 512]))
    (tmp_path / "a.tar").write_bytes(made)
    with pytest.raises(IntegrityError, match="size of -1024 bytes"):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging")


def test_copies_of_links_count_as_space(tmp_path: Path) -> None:
    links = [special(f"link{number}", tarfile.LNKTYPE, "file") for number in range(10)]
    (tmp_path / "a.tar").write_bytes(tar_bytes({"file": bytes(1000)}, *links))
    with pytest.raises(DiskFull):
        unpack(tmp_path / "a.tar", "tar", tmp_path / "staging", lambda: 5000 - written(tmp_path / "staging"))
    assert written(tmp_path / "staging") == 5000


@one_of_each
def test_stopped(suffix: str, tmp_path: Path) -> None:
    archive = MAKERS[suffix](tmp_path / "archive", {str(number): b"1" for number in range(5)})
    answers = iter([False, False, True])
    with pytest.raises(InterruptedError):
        list(extract([archive], kind(suffix), tmp_path / "s", free_bytes=lambda: ROOMY, stop=lambda: next(answers)))


# -- pieces ----------------------------------------------------------------------------------------------------------


def cut(path: Path, count: int) -> list[Path]:
    data = path.read_bytes()
    size = -(-len(data) // count)
    pieces = []
    for number in range(count):
        pieces.append(path.with_name(f"{path.name}.{number + 1:03}"))
        pieces[-1].write_bytes(data[number * size : (number + 1) * size])
    return pieces


@each_format
def test_pieces_in_order_are_the_archive(suffix: str, tmp_path: Path) -> None:
    pieces = cut(MAKERS[suffix](tmp_path / "archive", TREE), 5)
    assert unpack(pieces, kind(suffix), tmp_path / "staging") == TREE
    for wrong in ([*pieces[:2], *pieces[3:]], pieces[::-1], pieces[:-1]):
        if suffix == "tar":
            continue  # nothing in a plain tar tells that its data are others
        with pytest.raises(IntegrityError):
            unpack(wrong, kind(suffix), tmp_path / "staging")


@given(st.data())
def test_pieces_read_like_one_file(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    contents = data.draw(st.lists(st.binary(max_size=20), min_size=2, max_size=5))
    pieces = [folder / str(number) for number in range(len(contents))]
    for piece, content in zip(pieces, contents, strict=True):
        piece.write_bytes(content)
    expected = bytearray(b"".join(contents))
    at = data.draw(st.integers(0, len(expected)))
    patch = data.draw(st.binary(max_size=len(expected) - at))
    expected[at : at + len(patch)] = patch
    model = io.BytesIO(expected)
    with open_pieces(pieces, (at, patch)) as file:
        for whence, offset, length in data.draw(
            st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, 30), st.integers(-1, 60)), max_size=8)
        ):
            assert file.seek(offset, whence) == model.seek(offset, whence)
            assert file.read(length) == model.read(length)
            assert file.tell() == model.tell()


def span(path: Path, count: int) -> list[Path]:
    """A zip's bytes as ``count`` volumes whose offsets are each counted from the start of its own volume."""
    whole = bytearray(path.read_bytes())
    at, end = whole.index(b"PK\1\2"), whole.rindex(b"PK\5\6")
    size = -(-end // (count - 1)) if count > 1 else len(whole)
    size = min(size, at // (count - 1))  # so that the members, not only the directory, are spread
    struct.pack_into("<HH", whole, end + 4, count - 1, min(at // size, count - 1))
    struct.pack_into("<I", whole, end + 16, at - min(at // size, count - 1) * size)
    while at < end:
        (offset,) = struct.unpack_from("<I", whole, at + 42)
        volume = min(offset // size, count - 1)
        struct.pack_into("<H", whole, at + 34, volume)
        struct.pack_into("<I", whole, at + 42, offset - volume * size)
        at += 46 + sum(struct.unpack_from("<HHH", whole, at + 28))
    pieces = []
    for number in range(count):
        pieces.append(path.with_suffix(f".z{number + 1:02}" if number + 1 < count else ".zip"))
        last = number + 1 == count
        pieces[-1].write_bytes(whole[number * size : None if last else (number + 1) * size])
    return pieces


NOISE = {f"scan {number}": os.urandom(3000) for number in range(7)}


@pytest.mark.parametrize("count", [2, 3, 9])
@pytest.mark.parametrize("kind", ["zip", "split-zip"])
def test_volumes_of_a_spanned_zip(count: int, kind: str, tmp_path: Path) -> None:
    pieces = span(make_zip(tmp_path / "a.zip", NOISE), count)
    assert unpack(pieces, kind, tmp_path / "staging") == NOISE
    with pytest.raises(IntegrityError, match=f"has {count} volumes, and {count - 1} are here"):
        unpack(pieces[1:], kind, tmp_path / "staging")


@pytest.mark.skipif(not shutil.which("zip"), reason="needs Info-ZIP: apt-get install zip")
@pytest.mark.parametrize("options", [[], ["-fz"]], ids=["plain", "Zip64"])
def test_volumes_that_info_zip_made(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    tree = {f"in/{number}": os.urandom(60_000) for number in range(5)}
    for name, data in tree.items():
        (tmp_path / name).write_bytes(data)
    subprocess.run(["zip", "-q", "-r", "-s", "64k", *options, "split.zip", "in"], cwd=tmp_path, check=True)
    pieces = [*sorted(tmp_path.glob("split.z[0-9]*")), tmp_path / "split.zip"]
    assert len(pieces) > 4
    assert (b"PK\6\7" in pieces[-1].read_bytes()) == bool(options)
    assert unpack(pieces, "split-zip", tmp_path / "staging") == tree
