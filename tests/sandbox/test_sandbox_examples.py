"""A rehearsal of what a person meets at hosts with gates, as they would do it: ``medfetch get … --sandbox``."""

from __future__ import annotations

import json

import pytest
from asking import ask
from running import Run

from medfetch.sandbox import Sandbox

pytestmark = pytest.mark.long

OPEN = [
    "kaggle:sandbox/few",
    "physionet:sandbox-credentialed",
    "grand-challenge:sandbox-granted",
    "hf:sandbox/approved",
    "synapse:syn1",
    "gen3:sandbox.example/approved",
    "zenodo:1001",
    "doi:10.1234/OPEN",
]
SHUT = {
    "kaggle:competitions/sandbox-rules-not-accepted": "the rules of sandbox-rules-not-accepted are not accepted",
    "kaggle:competitions/sandbox-phone-not-verified": "or the phone number of your account is not verified",
    "physionet:sandbox-not-approved": "agreement is missing or has lapsed",
    "grand-challenge:sandbox-not-granted": "you were not let in",
    "hf:sandbox/pending": "have not decided",
    "synapse:syn2": "Terms of the sandbox",
    "gen3:sandbox.example/not-approved": "no approval",
    "zenodo:1005": "ask for access",
    "dataverse:sandbox.example/10.1234/SHUT": "does not let you have this file",
}
REAL = "a-real-token-that-is-nobodys-business"
VARIABLES = (
    "KAGGLE_API_TOKEN",
    "HF_TOKEN",
    "SYNAPSE_AUTH_TOKEN",
    "GRAND_CHALLENGE_AUTHORIZATION",
    "PHYSIONET_PASSWORD",
)


@pytest.mark.parametrize("name", OPEN)
def test_what_is_open_to_the_person_arrives(run: Run, name: str) -> None:
    assert run("get", name, "--sandbox", "--json", **dict.fromkeys(VARIABLES, REAL)).last["files"] > 0


@pytest.mark.parametrize("name", SHUT)
def test_what_is_not_is_told_before_a_byte(run: Run, name: str) -> None:
    ran = run("get", name, "--sandbox", code=3)
    assert SHUT[name] in " ".join(ran.err.split())
    assert "where: https://" in ran.err


def test_one_file_that_was_not_shared(run: Run) -> None:
    ran = run("get", "synapse:syn3", "--sandbox", "--json", code=1)
    assert [failure["path"] for failure in ran.last["failures"]] == ["table.csv"]


def test_what_others_can_ask_the_sandbox_tells_no_secret(box: Sandbox, run: Run) -> None:
    box.show_examples()
    run("get", "kaggle:competitions/sandbox-entered", code=3, KAGGLE_API_TOKEN=REAL)
    assert any(REAL in (entry.header("authorization") or "") for entry in box.log)
    told = ask(box, "/__log").body
    assert json.loads(told) and REAL.encode() not in told
