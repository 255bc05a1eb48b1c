"""Events of a run and who hears them: a bar, JSON lines, or nobody. It must not know what causes them."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TextIO

from medfetch.errors import Stopped


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: ``moved`` (bytes, files), ``retry``, ``failover``, ``failed``, ``note``."""

    kind: str
    path: str = ""
    reason: str = ""
    files: int = 0
    """Of ``moved``: files at their final names, since the last such event."""
    bytes: int = 0
    """Of ``moved``: bytes that are here now, since the last such event; may be negative."""
    source: str = ""
    code: int = 0
    """Of ``failed``: the exit code that the error stands for."""


class Reporter(Protocol):
    """Whoever is told; called from many threads."""

    def emit(self, event: Event) -> None: ...

    def received(self, count: int) -> None:
        """Bytes that are here; negative takes them back."""


class Counting:
    """A reporter for the inside of a worker: events at once, bytes summed until ``flush``."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._bytes = 0

    def emit(self, event: Event) -> None:
        with self._lock:
            self._send(event)

    def received(self, count: int) -> None:
        with self._lock:
            self._bytes += count

    def flush(self) -> None:
        with self._lock:
            if self._bytes:
                self._send(Event("moved", bytes=self._bytes))
                self._bytes = 0


class Display(Protocol):
    """What a person or a script sees of a run."""

    def start(self, name: str, totals: dict[str, Any]) -> None: ...

    def show(self, event: Event) -> None: ...

    def stop(self) -> None: ...

    def look(self) -> None:
        """Asked now and then, also while nothing happens: it may raise, which ends the run in order."""

    def say(self, kind: str, content: dict[str, Any], text: str) -> None:
        """A statement: JSON for scripts, a sentence for people."""


class Lines:
    """JSON, one object a line, on standard output."""

    def __init__(self, out: TextIO | None = None, every: float = 1.0) -> None:
        self._out = out or sys.stdout
        self._every, self._last = every, 0.0
        self._totals: dict[str, Any] = {}
        self._done = {"files": 0, "bytes": 0}

    def _write(self, content: dict[str, Any]) -> None:
        self._out.write(json.dumps(content, ensure_ascii=False) + "\n")
        self._out.flush()

    def start(self, name: str, totals: dict[str, Any]) -> None:
        self._done = {"files": totals.get("files_done", 0), "bytes": totals.get("bytes_done", 0)}
        self._totals = totals
        self._write({"event": "start", "dataset": name, "files": totals["files"], "bytes": totals["bytes"]})

    def show(self, event: Event) -> None:
        import time

        self._done["bytes"] += event.bytes
        self._done["files"] += event.files
        if event.kind == "moved":
            if time.monotonic() - self._last >= self._every:
                self._last = time.monotonic()
                self._write({"event": "progress", **self._done, "of": self._totals["bytes"]})
            return
        content = {key: value for key, value in asdict(event).items() if value and key != "kind"}
        self._write({"event": event.kind, **content})

    def stop(self) -> None:
        pass

    def look(self) -> None:
        pass

    def say(self, kind: str, content: dict[str, Any], text: str) -> None:
        self._write({"event": kind, **content})


class Calling(Lines):
    """A program: its function is called with what would be a line of JSON, and may end the run by raising."""

    def __init__(self, call: Callable[[dict[str, Any]], None], every: float = 0.2) -> None:
        super().__init__(every=every)
        self._call = call
        self._over = False

    def _write(self, content: dict[str, Any]) -> None:
        # What raised once is told nothing of how the run ends.
        if not self._over:
            self._over = True
            self._call(content)
            self._over = False


class Cancelling:
    """Another display, until an event is set: then it raises, once."""

    def __init__(self, display: Display, cancel: threading.Event) -> None:
        self._display, self._cancel = display, cancel
        self._over = False

    def look(self) -> None:
        if self._cancel.is_set() and not self._over:
            self._over = True
            raise Stopped("cancelled; what is complete is kept", exit_code=130, hint="the same call goes on from there")
        self._display.look()

    def start(self, name: str, totals: dict[str, Any]) -> None:
        self.look()
        self._display.start(name, totals)

    def show(self, event: Event) -> None:
        self.look()
        self._display.show(event)

    def stop(self) -> None:
        self._display.stop()

    def say(self, kind: str, content: dict[str, Any], text: str) -> None:
        self.look()
        self._display.say(kind, content, text)


class Terminal:
    """One bar for the whole on standard error, and a line for what is tried again and why.

    Without a terminal there is no bar, only a line now and then.
    """

    def __init__(self, quiet: bool = False, verbose: int = 0, calm_every: float = 30.0) -> None:
        self._quiet, self._verbose, self._every = quiet, verbose, calm_every
        self._bar: Any = None
        self._last = self._files = self._of_files = self._bytes = self._of_bytes = 0.0
        self._name = ""
        self._seen: dict[str, int] = {}

    def start(self, name: str, totals: dict[str, Any]) -> None:
        import time

        self._name, self._last = name, time.monotonic()
        self._files, self._of_files = totals.get("files_done", 0), totals["files"]
        self._bytes, self._of_bytes = totals.get("bytes_done", 0), totals["bytes"]
        self._seen = {}
        if self._quiet or not sys.stderr.isatty():
            return
        from tqdm import tqdm

        self._bar = tqdm(
            total=self._of_bytes or None, initial=self._bytes, unit="B", unit_scale=True, desc=name,
            dynamic_ncols=True, smoothing=0.1, file=sys.stderr,
        )  # fmt: skip
        self._bar.set_postfix_str(self._count(), refresh=True)

    def _count(self) -> str:
        return f"{self._files:,.0f}/{self._of_files:,.0f} files"

    def show(self, event: Event) -> None:
        import time

        self._files += event.files
        self._bytes += event.bytes
        if self._bar is not None:
            self._bar.update(event.bytes)
            if event.files:
                self._bar.set_postfix_str(self._count(), refresh=False)
        elif not self._quiet and time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._print(f"{self._name}: {self._count()}, {human(self._bytes)} of {human(self._of_bytes)}")
        if event.kind in ("retry", "failover", "failed", "note"):
            self._tell(event)

    def _tell(self, event: Event) -> None:
        # A host that fails says the same for thousands of files: say it for the first ones.
        seen = self._seen[event.kind] = self._seen.get(event.kind, 0) + 1
        most = 10 if event.kind != "failed" else 20
        if seen <= most or self._verbose:
            self._print(": ".join(filter(None, (event.kind, event.path, event.reason))))
        elif seen == most + 1:
            self._print(f"… and more of “{event.kind}” (-v shows all)")

    def _print(self, text: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def look(self) -> None:
        pass

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def say(self, kind: str, content: dict[str, Any], text: str) -> None:
        self._print(text)


def counted(number: int, thing: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def amount(counts: Mapping[str, Any]) -> str:
    """A plan's totals, or a part's, for people: ``2 series, 135 files, 86.4 MB``; what is unknown says so."""
    unknown = counts["unknown_sizes"]
    size = [human(counts["bytes"])] if counts["bytes"] or not unknown else []
    if unknown:
        size.append(f"{unknown:,} of unknown size" if size else "of unknown size")
    series = [f"{counts['series']:,} series"] if counts["series"] else []
    return ", ".join([*series, counted(counts["files"], "file"), " and ".join(size)])


def human(count: float) -> str:
    """Bytes for people, in decimal units: 133.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
