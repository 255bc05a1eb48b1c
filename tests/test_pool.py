"""Threads that work off tasks: order, numbers, helpers, and their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medfetch.pool import Pool

PATIENCE = 30.0


@contextmanager
def pool(work: Callable[[int], int], allowed: int) -> Iterator[Pool[int, int]]:
    made = Pool(work, allowed)
    try:
        yield made
    finally:
        made.end(PATIENCE)


def results(made: Pool[int, int], number: int) -> list[int]:
    found: list[int] = []
    while len(found) < number:
        found += made.take(PATIENCE)
    return found


def test_every_task_is_done_once() -> None:
    with pool(lambda task: task * task, 4) as made:
        made.put(range(500))
        assert sorted(results(made, 500)) == [number * number for number in range(500)]
        assert made.waiting == 0


def test_one_thread_keeps_the_order() -> None:
    with pool(lambda task: task, 1) as made:
        made.put(range(100))
        assert results(made, 100) == list(range(100))


class Meeting:
    """Tasks that wait until they may go on; how many were there at once."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.changed = threading.Condition()
        self.open = False

    def __call__(self, task: int) -> int:
        with self.changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.open, PATIENCE)
            self.inside -= 1
        return task

    def wait_for(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.inside == number, PATIENCE)

    def end(self) -> None:
        with self.changed:
            self.open = True
            self.changed.notify_all()


def test_as_many_at_a_time_as_are_allowed_and_more_later() -> None:
    meeting = Meeting()
    with pool(meeting, 2) as made:
        made.put(range(10))
        meeting.wait_for(2)
        assert made.busy
        made.allowed = 5
        meeting.wait_for(5)
        meeting.end()
        results(made, 10)
    assert meeting.most == 5


def test_threads_without_a_task_help_and_tasks_go_before() -> None:
    left = list(range(1000))
    helped: set[int] = set()
    done = threading.Event()

    def call() -> bool:
        helped.add(threading.get_ident())
        while left and not made.crowded():
            left.pop()
        if not left:
            done.set()
        return not left

    with pool(lambda task: task, 3) as made:
        made.help(call)
        made.put(range(50))
        assert len(results(made, 50)) == 50
        assert done.wait(PATIENCE)
    assert helped
    assert not left


def test_a_call_that_has_nothing_left_is_not_made_again() -> None:
    calls: list[int] = []

    def call() -> bool:
        calls.append(1)
        return True

    with pool(lambda task: task, 1) as made:
        made.help(call)
        made.help(call)
        made.put([1, 2, 3])
        results(made, 3)
    assert len(calls) <= 2


def test_at_the_end_what_is_under_way_is_finished_and_the_rest_is_forgotten() -> None:
    meeting = Meeting()
    made = Pool(meeting, 2)
    made.put(range(100))
    meeting.wait_for(2)
    made.close()
    meeting.end()
    assert sorted(made.end(PATIENCE)) == [0, 1]
    assert meeting.most == 2


def test_who_does_not_end_is_not_waited_for() -> None:
    meeting = Meeting()
    made = Pool(meeting, 1)
    made.put([7])
    meeting.wait_for(1)
    assert made.end(0.01) == []
    meeting.end()
