"""Threads that work off tasks, as many at a time as is allowed just then. It must not know what the tasks do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

ENOUGH = 64
"""Results that wait before their taker is woken, unless the tasks run out first."""

Help = Callable[[], bool]
"""Work that several threads may join; returns True when none of it is left to take."""


class Pool(Generic[Task, Result]):
    """Runs ``work`` on each task, in the order they came; threads are started as they are needed.

    One lock guards all; between two tasks a thread takes it once, and wakes nobody unless there is a reason.
    """

    def __init__(self, work: Callable[[Task], Result], allowed: int) -> None:
        self._work = work
        self._allowed = allowed
        self._changed = threading.Condition(threading.Lock())
        self._told = threading.Event()
        self._tasks: deque[Task] = deque()
        self._helps: list[Help] = []
        self._results: list[Result] = []
        self._threads: list[threading.Thread] = []
        self._busy = self._idle = 0
        self._ending = False

    @property
    def allowed(self) -> int:
        """How many tasks may be under way."""
        return self._allowed

    @allowed.setter
    def allowed(self, number: int) -> None:
        if number != self._allowed:
            with self._changed:
                self._allowed = number
                self._engage()

    @property
    def busy(self) -> bool:
        """Whether as many as are allowed are at work, and there is more to do."""
        return self._busy >= self._allowed and bool(self._tasks or self._helps)

    @property
    def at_work(self) -> int:
        """How many threads are."""
        return self._busy

    @property
    def waiting(self) -> int:
        """Tasks that nobody works on yet."""
        return len(self._tasks)

    def put(self, tasks: Iterable[Task]) -> None:
        with self._changed:
            self._tasks.extend(tasks)
            self._engage()

    def help(self, call: Help) -> None:
        """Threads that have no task run ``call``, any number of them at a time, until it has nothing left."""
        with self._changed:
            if call not in self._helps:
                self._helps.append(call)
            self._engage()

    def crowded(self) -> bool:
        """Whether a thread that helps should rather do something else, or nothing."""
        return bool(self._tasks) or self._busy > self._allowed or self._ending

    def take(self, timeout: float) -> list[Result]:
        """The results since the last time; waits until there are enough, tasks run short, or ``timeout`` seconds."""
        if timeout:
            self._told.wait(timeout)
        elif not self._results:
            return []
        self._told.clear()
        with self._changed:
            results, self._results = self._results, []
        return results

    def close(self) -> None:
        """Forgets the tasks that nobody works on, takes no others, and wakes the taker."""
        with self._changed:
            self._ending = True
            self._tasks.clear()
            self._changed.notify_all()
        self._told.set()

    def end(self, patience: float | None) -> list[Result]:
        """Closes, and waits for the tasks under way, ``patience`` seconds at the most; their results."""
        self.close()
        ends = time.monotonic() + (patience or 0)
        for thread in self._threads:
            thread.join(patience and max(0.0, ends - time.monotonic()))
        return self.take(0)

    def _engage(self) -> None:
        """Wakes or starts threads for what there is to do; the lock is held."""
        free = self._allowed - self._busy
        wanted = min(free, len(self._tasks)) if not self._helps else free
        if self._idle:
            self._changed.notify(min(wanted, self._idle))
        for _ in range(wanted - self._idle):
            if len(self._threads) >= self._allowed:
                break
            thread = threading.Thread(target=self._run, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (found := self._next()) is not None:
            task, call = found
            if call is None:
                result = self._work(task[0])
                with self._changed:
                    self._results.append(result)
                    self._busy -= 1
            else:
                nothing_left = call()
                with self._changed:
                    self._busy -= 1
                    if nothing_left and call in self._helps:
                        self._helps.remove(call)
            # The taker is woken before the tasks run out, and not for each result.
            if len(self._tasks) < self._allowed or len(self._results) >= ENOUGH:
                self._told.set()

    def _next(self) -> tuple[list[Task], Help | None] | None:
        """A task or something to help with; None at the end."""
        with self._changed:
            while not self._ending:
                if self._busy < self._allowed and (self._tasks or self._helps):
                    self._busy += 1
                    return ([self._tasks.popleft()], None) if self._tasks else ([], self._helps[0])
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
        return None
