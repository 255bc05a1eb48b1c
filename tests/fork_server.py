"""Processes of medfetch forked from one that has imported it already, which is most of what a start costs.

What is forked is a process as any other, a child of whoever asks: with its own number, session, folder, environment and
exit code. What else Python or a library may read as it starts is for a real start (``may_fork``). The server must start
no thread and import neither pycurl, which initialises libcurl as it is imported, nor duckdb, which starts threads.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

IMPORTED = (
    "medfetch.admission", "medfetch.cli.access", "medfetch.cli.info", "medfetch.cli.list", "medfetch.fulfilling",
    "medfetch.recipe_check", "idc_index_data", "jsonschema", "requests", "yaml",
)  # fmt: skip
"""Of what most runs need, what does not import pycurl."""
NOT_IMPORTED = {"duckdb", "numpy", "pycurl"}
LATE = {"HOME", "PATH", "AWS_EC2_METADATA_DISABLED", "NO_GCE_CHECK"}
"""Variables that nothing reads before it is used, as those of medfetch are."""
SAME = {"LC_ALL": "C.UTF-8"}
LONGEST = 100_000
"""Bytes of a request; a socket takes more at once."""
PR_SET_CHILD_SUBREAPER = 36
"""Of prctl(2), in linux/prctl.h."""


def may_fork(environment: dict[str, str]) -> bool:
    """Whether a start in this environment would be as the server's was."""
    told = {name: value for name, value in environment.items() if name not in LATE and name[:9] != "MEDFETCH_"}
    return sys.platform == "linux" and told == SAME


class Forked(subprocess.Popen[str]):
    """As ``Popen([sys.executable, "-m", "medfetch", …], start_new_session=True)``; all streams must be given."""

    _asking: socket.socket | None = None
    _lock = threading.Lock()

    def _execute_child(self, args: list[str], *given: Any) -> None:
        # In place of fork and exec. The parameters are those of Python 3.11 to 3.14.
        cwd, env, *_ = given[4:]
        streams = given[9:15]
        standard = [streams[0], streams[3], streams[5]]
        request = {"arguments": args[3:], "folder": str(cwd), "environment": env}
        reading, writing = os.pipe()
        prctl = ctypes.CDLL(None).prctl
        with self._lock, open(reading) as reply:
            Forked._asking = self._asking or start()
            # What is forked becomes a child of this process when the one between ends.
            prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._asking, [json.dumps(request).encode()], [writing, *standard])
                os.close(writing)
                self.pid = int(reply.read())
            finally:
                prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        self._child_created = True
        self._close_pipe_fds(*streams)


def start() -> socket.socket:
    """A server, which ends when nobody has the socket any more that it is asked by."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "fork_server", str(theirs.fileno())],
            cwd=Path(__file__).parent, env={"PATH": os.environ["PATH"], **SAME}, pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return ours


def main(asked: socket.socket) -> None:
    for name in IMPORTED:
        import_module(name)
    assert not NOT_IMPORTED & sys.modules.keys()
    assert len(os.listdir("/proc/self/task")) == 1
    gc.collect()
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(asked, LONGEST, 4)
        if not request:
            return
        if not (between := os.fork()):
            if run := os.fork():
                os.write(descriptors[0], str(run).encode())
                os._exit(0)
            become(descriptors[1:], **json.loads(request))
            runpy.run_module("medfetch", run_name="__main__", alter_sys=True)
            return
        os.waitpid(between, 0)
        for descriptor in descriptors:
            os.close(descriptor)


def become(streams: list[int], arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Makes of a forked process what a start would have made."""
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:], sys.path[0] = arguments, folder


def release(before: set[str]) -> None:
    """At the end of a run: leaves in memory what was imported before it, which takes long to be taken apart."""


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
