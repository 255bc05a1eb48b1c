"""The tcia source: tcia-utils' questions over NBIA's wire format, and what keeps tcia-utils' habits in."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from plain_net import PlainNet

from medfetch.errors import RecipeError, Refused, Retryable, Unreachable, UsageProblem
from medfetch.sources.tcia import Tcia
from medfetch.types import Group, RemoteFile, Selection, Unpack

V4 = "https://nbia.cancerimagingarchive.net/nbia-api/services/v4"
NLST = "https://nlst.cancerimagingarchive.net/nbia-api/services/v4"
asks = responses.matchers.query_param_matcher


def row(series: str, patient: str = "P1", **fields: Any) -> dict[str, Any]:
    return {
        "SeriesInstanceUID": series,
        "StudyInstanceUID": "1.2",
        "Collection": "C1",
        "PatientID": patient,
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "ImageCount": 2,
        "FileSize": 1200,
        "TimeStamp": "2020-01-01 00:00:00.0",
        **fields,
    }


def nbia(rows: Any, service: str = "getSeries", base: str = V4, **criteria: str) -> None:
    """The mock answers these rows to exactly these criteria."""
    responses.get(f"{base}/{service}", json.dumps(rows) if rows is not None else "", match=[asks(criteria)])


def resolve(selection: Selection | None = None, net: PlainNet | None = None, **locator: Any) -> list[Group]:
    return list(Tcia().resolve(locator, net or PlainNet(Tcia.traits), selection or Selection()))


def uids(groups: list[Group]) -> list[str]:
    return [group.facets["series"] for group in groups]


@responses.activate
def test_a_collection() -> None:
    nbia([row("1.2.4"), row("1.2.3", BodyPartExamined=None), row("1.2.9", "P0")], Collection="C1")
    groups = resolve(collection="C1")
    assert uids(groups) == ["1.2.9", "1.2.3", "1.2.4"]
    facets = {"subject": "P1", "study": "1.2", "series": "1.2.3", "modality": "CT", "collection": "C1"}
    url = f"{V4}/getImageWithMD5Hash?SeriesInstanceUID=1.2.3"
    archive = RemoteFile(
        "P1/1.2/1.2.3", "nbia:1.2.3", (url,), facets=facets, unpack=Unpack("dicom-zip", "P1/1.2/1.2.3")
    )
    assert groups[1] == Group("P1/1.2/1.2.3", "nbia:1.2.3", 2, 1200, facets, archive, {"host": "nbia"})


@pytest.mark.parametrize(
    ("fields", "files", "size"),
    [
        ({"ImageCount": "7", "FileSize": "99"}, 7, 99),
        ({"ImageCount": 0, "FileSize": None}, None, None),
        ({"ImageCount": "many", "FileSize": "1.2 MB"}, None, None),
    ],
)
@responses.activate
def test_counts_are_numbers_or_unknown(fields: dict[str, Any], files: int | None, size: int | None) -> None:
    nbia([row("1.2.3", **fields)], Collection="C1")
    (group,) = resolve(collection="C1")
    assert (group.files, group.size) == (files, size)


@responses.activate
def test_a_single_hit_may_come_bare() -> None:
    nbia(row("1.2.3"), Collection="C1")
    assert uids(resolve(collection="C1")) == ["1.2.3"]


@responses.activate
def test_criteria_are_asked_for_and_applied() -> None:
    rows = [row("1.2.1"), row("1.2.2", Modality="MR"), row("1.2.3", Modality="SEG"), row("1.2.4", BodyPartExamined="")]
    nbia(rows, Collection="C1", BodyPartExamined="CHEST")
    assert uids(resolve(collection="C1", modality=["CT", "MR"], body_part="CHEST")) == ["1.2.1", "1.2.2"]
    nbia(rows, Collection="C1", Modality="MR", PatientID="P1")
    assert uids(resolve(collection="C1", modality="MR", patient="P1")) == ["1.2.2"]


@responses.activate
def test_several_collections() -> None:
    nbia([row("1.2.2"), row("1.2.1")], Collection="C1")
    nbia([row("1.2.2"), row("1.2.0", Collection="C2")], Collection="C2")
    assert uids(resolve(collection=["C1", "C2"])) == ["1.2.0", "1.2.1", "1.2.2"]


@responses.activate
def test_the_trial_on_a_host_of_its_own() -> None:
    nbia([row("1.2.3", Collection="NLST")], base=NLST, Collection="NLST")
    (group,) = resolve(**Tcia().locate("NLST"))
    assert group.key == "nlst:1.2.3"
    assert group.archive and group.archive.urls[0].startswith(f"{NLST}/getImageWithMD5Hash?")


@responses.activate
def test_a_selection_of_series_asks_for_these() -> None:
    nbia([row("1.2.3")], SeriesInstanceUID="1.2.3")
    assert uids(resolve(Selection({"series": ("1.2.3",)}), collection="C1")) == ["1.2.3"]


@responses.activate
def test_a_selection_of_subjects_asks_for_these() -> None:
    nbia([row("1.2.3", "P2")], Collection="C1", PatientID="P2")
    assert uids(resolve(Selection({"subject": ("P2",)}), collection="C1")) == ["1.2.3"]
    nbia([row("1.2.3", "P2"), row("1.2.4", "P3")], Collection="C1")
    assert uids(resolve(Selection({"subject": ("P[2]",)}), collection="C1")) == ["1.2.3", "1.2.4"]


@responses.activate
def test_series_of_another_collection_are_not_selected() -> None:
    nbia([row("1.2.3", Collection="Other")], SeriesInstanceUID="1.2.3")
    nbia([{"Collection": "C1"}], "getCollectionValues")
    assert resolve(Selection({"series": ("1.2.3",)}), collection="C1") == []


@responses.activate
def test_an_unknown_collection_is_answered_with_like_names() -> None:
    nbia(None, Collection="LIDC_IDRI")
    nbia([{"Collection": "LIDC-IDRI"}, {"Collection": "NSCLC-Radiomics"}], "getCollectionValues")
    with pytest.raises(UsageProblem, match="nbia has no series for collection LIDC_IDRI") as raised:
        resolve(collection="LIDC_IDRI")
    assert raised.value.hint == "collections with a like name: LIDC-IDRI"


@responses.activate
def test_a_short_list_is_asked_for_one_by_one() -> None:
    for uid in ("1.2.4", "1.2.3"):
        nbia([row(uid)], base=NLST, SeriesInstanceUID=uid)
    listed = {"series": ["1.2.4", "1.2.3"], "host": "nlst"}
    assert uids(resolve(**listed)) == ["1.2.3", "1.2.4"]
    assert uids(resolve(Selection({"series": ("1.2.4",)}), **listed)) == ["1.2.4"]


@responses.activate
def test_a_long_list_is_looked_up_in_its_collections() -> None:
    listed = [f"1.2.{n}" for n in range(100)]
    nbia([row("1.2.0")], SeriesInstanceUID="1.2.0")
    nbia([row(uid) for uid in [*listed[:98], "1.9"]], Collection="C1")
    for uid in listed[98:]:
        nbia([row(uid, Collection="C2")], SeriesInstanceUID=uid)
    net = PlainNet(Tcia.traits)
    assert sorted(uids(resolve(net=net, series=listed))) == sorted(listed)
    assert len(net.asked) == 4


@responses.activate
def test_series_that_are_not_there_are_named() -> None:
    nbia([row("1.2.3")], SeriesInstanceUID="1.2.3")
    nbia(None, SeriesInstanceUID="1.2")
    with pytest.raises(RecipeError, match=r"nbia does not have 1 of the series, the first is 1\.2"):
        resolve(series=["1.2.3", "1.2"])


@responses.activate
def test_a_shared_cart() -> None:
    v1 = V4.replace("v4", "v1")
    nbia([{"SeriesInstanceUID": "1.2.3"}], "getContentsByName", v1, name="nbia-1")
    nbia([row("1.2.3")], SeriesInstanceUID="1.2.3")
    assert uids(resolve(cart="nbia-1")) == ["1.2.3"]
    nbia(None, "getContentsByName", v1, name="nbia-2")
    with pytest.raises(UsageProblem, match="no shared cart 'nbia-2'"):
        resolve(cart="nbia-2")


@responses.activate
def test_members() -> None:
    nbia([row("1.2.3")], Collection="C1")
    (group,) = resolve(collection="C1")
    nbia(
        [{"SOPInstanceUID": "1.2.3.2"}, {"SOPInstanceUID": "1.2.3.1"}], "getSOPInstanceUIDs", SeriesInstanceUID="1.2.3"
    )
    first, second = Tcia().members(group, PlainNet(Tcia.traits))
    url = f"{V4}/getSingleImage?SeriesInstanceUID=1.2.3&SOPInstanceUID=1.2.3.1"
    assert first == RemoteFile("P1/1.2/1.2.3", "1.2.3.1", (url,), facets=group.facets, dicom=True)
    assert second.key == "1.2.3.2"


@responses.activate
def test_endpoints_stand_for_the_hosts() -> None:
    base = "http://127.0.0.1:1/nbia"
    nbia([row("1.2.3")], base=f"{base}/nbia-api/services/v4", Collection="C1")
    (group,) = resolve(net=PlainNet(Tcia.traits, tcia=base), collection="C1")
    assert group.archive and group.archive.urls[0].startswith(f"{base}/nbia-api/services/v4/getImageWithMD5Hash?")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"body": "<html>maintenance</html>"}, Retryable),
        ({"body": '["a"]'}, Retryable),
        ({"body": '[{"SeriesInstanceUID": "1.2.3"}]'}, Retryable),
        ({"status": 403}, Refused),
        ({"status": 500}, Retryable),
        ({"body": requests.exceptions.ConnectionError("refused")}, Unreachable),
    ],
)
@responses.activate
def test_what_tcia_utils_only_logs_is_raised(answer: dict[str, Any], error: type[Exception]) -> None:
    responses.get(f"{V4}/getSeries", **answer)
    with pytest.raises(error):
        resolve(collection="C1")


@pytest.mark.parametrize(
    "locator",
    [{}, {"modality": "CT"}, {"collections": "x"}, {"collection": 3}, {"series": "1.2", "cart": "x"},
     {"collection": "C1", "host": "public"}],
)  # fmt: skip
def test_bad_locators(locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"^tcia"):
        resolve(**locator)


def test_threads_do_not_mix_up_their_nets() -> None:
    """Each asks through a Net of its own at the same time; the barrier makes sure of that."""
    barrier = threading.Barrier(2, timeout=30)

    class Answer:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def raise_for_status(self) -> None:
            pass

        def json(self) -> Any:
            return json.loads(self.content)

    class Meeting(PlainNet):
        def __init__(self, uid: str) -> None:
            super().__init__(Tcia.traits)
            self.uid = uid

        def get(self, url: str, params: Any = None) -> Any:
            barrier.wait()
            return Answer(json.dumps([row(self.uid)]).encode())

    found: dict[str, list[str]] = {}
    threads = [
        threading.Thread(target=lambda uid=uid: found.update({uid: uids(resolve(net=Meeting(uid), collection="C1"))}))
        for uid in ("1.2.3", "1.2.4")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"1.2.3": ["1.2.3"], "1.2.4": ["1.2.4"]}


@responses.activate
def test_others_in_the_process_can_use_tcia_utils_as_ever() -> None:
    nbia([row("1.2.3")], Collection="C1")
    resolve(collection="C1")
    from tcia_utils import nbia as module

    assert module.getSeries(collection="C1")[0]["SeriesInstanceUID"] == "1.2.3"
    assert module.requests.Session is requests.Session


def test_logging_stays_as_it_was() -> None:
    """In a process of its own, because tcia-utils is imported once; what it logs goes to no terminal."""
    program = """
import logging, responses
from plain_net import PlainNet
from medfetch.sources.tcia import Tcia
from medfetch.types import Selection
logging.getLogger().setLevel(logging.ERROR)
with responses.RequestsMock() as mock:
    mock.get("https://nbia.cancerimagingarchive.net/nbia-api/services/v4/getSeries", "<html>")
    try:
        list(Tcia().resolve({"collection": "C1"}, PlainNet(Tcia.traits), Selection()))
    except Exception as error:
        print(type(error).__name__)
print(logging.getLogger().level, logging.getLogger().handlers)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True
    )
    assert done.stdout == f"Retryable\n{logging.ERROR} []\n"
    assert "Failed to decode" not in done.stderr


def test_a_typed_collection() -> None:
    assert Tcia().locate("NSCLC-Radiomics") == {"collection": "NSCLC-Radiomics"}
    assert Tcia().locate("NLST") == {"collection": "NLST", "host": "nlst"}
    assert Tcia().locate("nbia-49121659384603347") == {"cart": "nbia-49121659384603347"}
    with pytest.raises(UsageProblem):
        Tcia().locate("")
