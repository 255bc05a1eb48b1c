"""Processes of medfetch forked from one that has imported it already, which is most of what a start costs.

What is forked is a process as any other, a child of whoever asks: with its own number, session, folder, environment and
exit code. So are the workers of a run. What else Python or a library may read as it starts is for a real start
(``may_fork``), and so is what looks at processes from outside: in /proc a forked one has the server's command line.

The server must start no thread, for none lives on in what is forked, and not import pycurl, which initialises libcurl.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

IMPORTED = (
    *(f"medfetch.cli.{verb}" for verb in ("access", "get", "import", "info", "list", "plan", "recipe", "status")),
    *(f"medfetch.sources.{name}" for name in ("http", "idc", "links")),
    "medfetch.engines.worker", "idc_index_data", "jsonschema", "pydicom.filereader", "requests", "yaml",
)  # fmt: skip
"""What most runs need; not duckdb, which starts a thread as it is imported."""
RUN, WORKER = ["-m", "medfetch"], ["-P", "-m", "medfetch.engines.worker"]
LATE = re.compile(r"HOME|PATH|NO_GCE_CHECK|(AWS|GOOGLE|KAGGLE|MEDFETCH)_\w+|\w+_(API_KEY|AUTHORIZATION|TOKEN)")
"""Variables that nothing reads before it wants them: those of medfetch, and of logins."""
SAME = {"LC_ALL": "C.UTF-8"}
ALONE = {"OPENBLAS_NUM_THREADS": "1"}
"""For the server: else numpy, which pydicom imports, starts threads."""
LONGEST, MOST = 100_000, 8
"""Bytes of a request, and its descriptors."""
HIGH = 500
"""A descriptor from which on there is room."""
PR_SET_CHILD_SUBREAPER = 36
"""Of prctl(2), in linux/prctl.h."""


def may_fork(environment: dict[str, str]) -> bool:
    """Whether a start in this environment would be as the server's was."""
    told = {name: value for name, value in environment.items() if not LATE.fullmatch(name)}
    return sys.platform == "linux" and told == SAME


class Forked(subprocess.Popen):
    """``Popen``, but that RUN (in a session of its own) and, in what is forked, WORKER are forked by a server."""

    _lock = threading.Lock()
    _asking: socket.socket | None = None
    _server: subprocess.Popen[bytes] | None = None

    def _execute_child(self, args: list[str], *given: Any) -> None:
        # The parameters are those of Python 3.11 to 3.14.
        pass_fds, cwd, env, streams = given[3], given[4], given[5], given[9:15]
        start = RUN if args[1:3] == RUN else WORKER
        if args[1 : 1 + len(start)] != start:
            super()._execute_child(args, *given)
            return
        # -1 is what the parent has itself.
        standard = {number: max(number, each) for number, each in enumerate((streams[0], streams[3], streams[5]))}
        descriptors = standard | {each: each for each in pass_fds}
        request = {
            "module": start[-1],
            "arguments": args[1 + len(start) :],
            "folder": str(cwd or Path.cwd()),
            "environment": dict(os.environ if env is None else env),
            "descriptors": list(descriptors),
        }
        reading, writing = os.pipe()
        reaps = ctypes.CDLL(None).prctl
        with self._lock, open(reading) as reply:
            Forked._asking = self._asking or self._started()
            # What is forked becomes a child of this process when the one between them ends.
            reaps(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._asking, [json.dumps(request).encode()], [writing, *descriptors.values()])
                os.close(writing)
                self.pid = int(reply.read())
            finally:
                reaps(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        self._child_created = True
        self._close_pipe_fds(*streams)

    @staticmethod
    def _started() -> socket.socket:
        """The socket of a new server, which ends when nobody has it any more."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            Forked._server = subprocess.Popen(
                [sys.executable, "-m", "fork_server", str(theirs.fileno())],
                cwd=Path(__file__).parent, env={"PATH": os.environ["PATH"], **SAME, **ALONE},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip
        return ours


class Later(ModuleType):
    """A module that is imported when something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        with Forked._lock:
            if sys.modules[self.__name__] is self:
                del sys.modules[self.__name__]
                vars(self).update(vars(import_module(self.__name__)))
        return getattr(sys.modules[self.__name__], name)


def main(descriptor: int) -> None:
    before, imported = set(sys.modules), {}
    atexit.register(leave, imported)
    sys.modules["pycurl"] = Later("pycurl")
    for name in IMPORTED:
        import_module(name)
    assert "pycurl._pycurl" not in sys.modules
    # What is run is not imported, too: only what it imports.
    del sys.modules[WORKER[-1]]
    assert len(os.listdir("/proc/self/task")) == 1
    imported |= {name: module for name, module in sys.modules.items() if name not in before}
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=descriptor))


def serve(asked: socket.socket) -> None:
    """Forks for each request until nobody asks any more, and returns in what was forked at its end."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(asked, LONGEST, MOST)
        if not request:
            os._exit(0)
        if not (between := os.fork()):
            if forked := os.fork():
                os.write(descriptors[0], str(forked).encode())
                os._exit(0)
            return be(descriptors[1:], **json.loads(request))
        os.waitpid(between, 0)
        for descriptor in descriptors:
            os.close(descriptor)


def be(
    given: list[int], *, module: str, arguments: list[str], folder: str, environment: dict[str, str],
    descriptors: list[int],
) -> None:  # fmt: skip
    """Makes of a forked process what a start would have made, and is it."""
    if module == RUN[-1]:
        os.setsid()
    given = [fcntl.fcntl(each, fcntl.F_DUPFD, HIGH) for each in given]
    os.closerange(3, HIGH)
    for descriptor, number in zip(given, descriptors, strict=True):
        os.dup2(descriptor, number)
    os.closerange(HIGH, os.sysconf("SC_OPEN_MAX"))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if module == RUN[-1]:
        sys.path[0] = folder
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if not os.fork():
            # A server for workers, in the session of their run; it must hold open neither its output nor its socket.
            ours.close()
            for number in range(3):
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
            return serve(theirs)
        theirs.close()
        Forked._asking = ours
        subprocess.Popen = Forked
    else:
        del sys.path[0]
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def leave(imported: dict[str, ModuleType]) -> None:
    """The last act of what was forked: to take apart what others have imported would take longer than most runs do."""
    for name in imported:
        sys.modules.pop(name, None)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(imported))


if __name__ == "__main__":
    main(int(sys.argv[1]))
