"""A short form of the long trials in soak/."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak.kills import endure
from soak.mixed import Amounts


@pytest.mark.long
def test_killed_ten_times_over_mixed_work(tmp_path: Path) -> None:
    amounts = Amounts(small=60, large=1, large_bytes=8_000_000, archives=2, singly=1, zips=3)
    outcome = endure(10, amounts, rate=100_000, folder=tmp_path, longest=0.3)
    assert outcome.before > 0
    assert outcome.share < 0.03
