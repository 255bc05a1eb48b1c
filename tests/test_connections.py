"""How many connections are found to be worth having, on links that are modelled: no clock but the test's own."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from medfetch import connections
from medfetch.connections import FEW, START, Connections

STEP = 0.05
MEGABYTE = 1_000_000


class Link:
    """Time goes by in steps; each brings what the link gives to so many connections."""

    def __init__(self, found: Connections, rate: Callable[[int], float], first_byte: float, at: float) -> None:
        self.found, self.rate, self.first_byte, self.now = found, rate, first_byte, at
        self.tried: list[int] = []

    def run(self, seconds: float, *, busy: bool = True) -> int:
        for _ in range(int(seconds / STEP)):
            self.now += STEP
            self.found.answered(self.first_byte)
            self.found.received(int(self.rate(self.found.allowed) * STEP))
            self.found.look(self.now, busy)
            self.tried.append(self.found.allowed)
        return self.found.allowed


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    """The time of the program itself stands still."""
    moment = time.monotonic()
    monkeypatch.setattr(connections.time, "monotonic", lambda: moment)
    monkeypatch.setattr(connections.time, "process_time", lambda: 0.0)
    return moment


def each(rate: float, most: int = 1 << 30) -> Callable[[int], float]:
    """So much for each connection, up to so many of them."""
    return lambda number: rate * min(number, most)


def test_over_a_long_way_all_that_the_host_bears_are_used(now: float) -> None:
    link = Link(Connections(START, 64), each(2 * MEGABYTE), first_byte=0.1, at=now)
    assert link.run(6) == 64
    assert sorted(set(link.tried)) == [32, 64]


def test_no_more_than_the_host_bears(now: float) -> None:
    link = Link(Connections(START, 20), each(2 * MEGABYTE), first_byte=0.1, at=now)
    assert link.run(60) == 20
    assert max(link.tried) == 20


def test_where_more_bring_nothing_they_are_given_up_again(now: float) -> None:
    """The machine, or the line, is the limit: four do what sixteen would."""
    link = Link(Connections(START, 64), lambda number: 400 * MEGABYTE, first_byte=0.001, at=now)
    assert link.run(60) == START
    assert max(link.tried) == 4 * START


def test_a_little_more_is_no_reason(now: float) -> None:
    link = Link(Connections(START, 64), lambda number: 400 * MEGABYTE * (1 + number / 100), first_byte=0.001, at=now)
    assert link.run(60) == START


def test_it_ends_near_the_number_that_the_line_takes(now: float) -> None:
    link = Link(Connections(START, 64), each(5 * MEGABYTE, most=20), first_byte=0.02, at=now)
    assert link.run(120) == 20


def test_a_process_that_has_its_hands_full_tries_no_more(now: float, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(Connections(START, 64), each(2 * MEGABYTE), first_byte=0.001, at=now)
    monkeypatch.setattr(connections.time, "process_time", lambda: 0.9 * link.now)
    assert link.run(60) == START
    assert set(link.tried) == {START}


def test_threads_that_take_the_processors_from_each_other_are_made_fewer(now: float, monkeypatch) -> None:
    """A large file from nearby: two connections are as fast as four, and leave time to whoever hashes."""
    link = Link(Connections(START, 64), lambda number: 900 * MEGABYTE, first_byte=0.001, at=now)
    monkeypatch.setattr(connections, "processors", lambda: 2)
    monkeypatch.setattr(connections.time, "process_time", lambda: 1.6 * link.now)
    assert link.run(3) == FEW
    assert link.run(60) <= FEW + 1, "a step up now and then, which is taken back"
    assert max(link.tried) == START
    monkeypatch.setattr(connections, "processors", lambda: 16)
    assert Link(Connections(START, 64), link.rate, 0.001, now).run(3) == START


def test_a_number_that_was_given_is_kept(now: float) -> None:
    link = Link(Connections(12, 12), each(2 * MEGABYTE), first_byte=0.1, at=now)
    assert link.run(30) == 12
    assert set(link.tried) == {12}


def test_without_enough_to_do_nothing_is_learnt(now: float) -> None:
    link = Link(Connections(START, 64), each(2 * MEGABYTE), first_byte=0.1, at=now)
    assert link.run(30, busy=False) == START


def test_who_fails_gets_less_and_is_left_alone_for_a_while(now: float, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(Connections(START, 64), each(2 * MEGABYTE), first_byte=0.1, at=now)
    assert link.run(6) == 64
    monkeypatch.setattr(connections.time, "monotonic", lambda: link.now)
    for _ in range(64):
        link.found.failed()
    assert link.found.allowed == 48, "many failures at once are one"
    assert link.run(connections.QUIET - 1) == 48
    assert link.run(120) == 64


def test_however_often_it_fails_one_is_left(now: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Connections(START, 64)
    for second in range(2, 60, 2):
        monkeypatch.setattr(connections.time, "monotonic", lambda second=second: now + second)
        found.failed()
    assert found.allowed == 1
