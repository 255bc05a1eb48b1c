"""For one series, medfetch leaves the files that the hosts' real clients leave, by either route."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import by_instance, expected, fetch_with_boto3, fetch_with_s5cmd, fetch_with_tcia_utils
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive
from medfetch.sandbox.dicom import Series


@pytest.mark.parametrize("route", ["idc", "tcia"])
def test_medfetch_leaves_what_the_real_clients_leave(
    run: Run, box: Sandbox, archive: Archive, series: Series, tmp_path: Path, route: str
) -> None:
    receipt = run("get", "lidc-idri", "-s", f"series={series.uid}", "--route", route, "--json").last
    ours = by_instance(Path(receipt["path"]))
    assert ours == expected(archive, series)
    for number, fetch in enumerate((fetch_with_s5cmd, fetch_with_boto3, fetch_with_tcia_utils)):
        folder = tmp_path / str(number)
        folder.mkdir()
        fetch(box, series, folder)
        assert by_instance(folder) == ours, fetch.__name__


def test_the_names_are_those_of_the_dicom_headers(run: Run, series: Series) -> None:
    receipt = run("get", "idc:lidc_idri", "-s", f"series={series.uid}", "--json").last
    root = Path(receipt["path"])
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.dcm")}
    assert found == {f"{series.patient}/{series.study}/{series.uid}/{uid}.dcm" for uid in by_instance(root)}
