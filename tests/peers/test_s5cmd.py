"""s5cmd, with which people fetch from the Imaging Data Commons, works on the sandbox."""

from __future__ import annotations

from pathlib import Path

from clients import by_instance, expected, fetch_with_s5cmd, s5cmd

from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.archive import Archive
from medfetch.sandbox.dicom import Series


def test_it_lists_a_series(box: Sandbox, archive: Archive, series: Series) -> None:
    lines = s5cmd(box, "ls", f"s3://{series.bucket}/{series.uuid}/").splitlines()
    listed = {line.split()[-1]: int(line.split()[-2]) for line in lines}
    assert listed == {f"{file.uuid}.dcm": file.size for file in archive.instances(series)}


def test_it_fetches_a_series(box: Sandbox, archive: Archive, series: Series, tmp_path: Path) -> None:
    fetch_with_s5cmd(box, series, tmp_path)
    assert by_instance(tmp_path) == expected(archive, series)
    assert {entry.header("range") for entry in box.log if entry.target.endswith(".dcm")} == {"bytes=0-52428799"}


def test_it_gets_over_a_broken_connection(box: Sandbox, archive: Archive, series: Series, tmp_path: Path) -> None:
    box.add(Fault(match=r"\.dcm$", cut=5_000, times=2))
    fetch_with_s5cmd(box, series, tmp_path)
    assert by_instance(tmp_path) == expected(archive, series)
    assert box.stats.data_bytes == sum(file.size for file in archive.instances(series)) + 10_000


def test_it_lists_and_fetches_what_was_put_there(box: Sandbox, tmp_path: Path) -> None:
    data = box.put("s3://open/folder/a b+c.bin", size=3_000_000)
    assert "DIR" in s5cmd(box, "ls", "s3://open/")
    s5cmd(box, "cp", "s3://open/folder/*", f"{tmp_path}/")
    assert (tmp_path / "a b+c.bin").read_bytes() == data
