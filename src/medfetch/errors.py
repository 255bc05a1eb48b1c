"""What can go wrong, as one tree; each class knows its exit code and whether trying again can help.

MedfetchError                1  some files could not be had; the same command goes on from there
├── UsageProblem             2  the command line is wrong
│   └── RecipeError          2  a recipe or a manifest is wrong: names file, line and field
├── AccessRequired           3  a requirement is not met; says what to do and where
├── IntegrityError           4  bytes that do not match their checksum or size
├── DiskFull                 5  not enough space; nothing is lost
├── Unreachable              6  no host of any route answered
├── Refused                  1  the host said no (401, 403, 404, 410 …): trying again will not help
├── Retryable                1  the host said "later", or the connection broke
├── NotHere                  1  a file that is to be read is not in the cache; also a FileNotFoundError
├── CacheError               1  the cache cannot be used: not writable, held by another process
├── Incomplete               1  the run ended with files missing
└── Stopped            130/143/75  a signal; state is saved

Each class also has the name under which docs/errors.md tells of it; subclasses elsewhere have that of their base. This
module imports nothing of medfetch.
"""

from __future__ import annotations

from typing import Any

UPGRADE = "upgrade medfetch: pip install --upgrade medfetch"
"""The hint where something was written by a newer one."""


class MedfetchError(Exception):
    """Anything that went wrong: a message for a person, and where possible a hint that says what to do next."""

    exit_code = 1
    kind = "failed"
    """What stands in brackets behind the message: its heading in docs/errors.md. Scripts hold on to it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_json(self) -> dict[str, Any]:
        return {
            "error": type(self).__name__, "kind": self.kind, "message": self.message, "hint": self.hint,
            "exit": self.exit_code,
        }  # fmt: skip


class UsageProblem(MedfetchError):
    """The command line, a setting or an argument is wrong."""

    exit_code = 2
    kind = "usage"


class RecipeError(UsageProblem):
    """A recipe or manifest that cannot be used; ``at`` is ``file:line:column`` as far as known."""

    kind = "recipe"

    def __init__(self, message: str, *, at: str | None = None, hint: str | None = None) -> None:
        super().__init__(f"{at}: {message}" if at else message, hint=hint)
        self.at = at


class AccessRequired(MedfetchError):
    """Steps that only a person can take are still open; ``steps`` lists them as plain dicts."""

    exit_code = 3
    kind = "access-required"

    def __init__(self, message: str, *, steps: list[dict[str, Any]], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.steps = steps

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"steps": self.steps}


class IntegrityError(MedfetchError):
    """Bytes that do not match their checksum or size, or are not what they are called."""

    exit_code = 4
    kind = "integrity"


class DiskFull(MedfetchError):
    """Not enough space on the disk, or in a quota; nothing is lost."""

    exit_code = 5
    kind = "disk-full"


class Unreachable(MedfetchError):
    """No host of any route answered."""

    exit_code = 6
    kind = "unreachable"


class Refused(MedfetchError):
    """A permanent no from a host."""

    kind = "refused"

    def __init__(self, message: str, *, status: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Retryable(MedfetchError):
    """Trying again may help; ``after`` is the host's own wish in seconds, ``reached`` whether it answered at all."""

    kind = "retryable"

    def __init__(self, message: str, *, after: float | None = None, reached: bool = True) -> None:
        super().__init__(message)
        self.after = after
        self.reached = reached


class NotHere(MedfetchError, FileNotFoundError):
    """A file that is to be read is not in the cache."""

    kind = "not-here"


class CacheError(MedfetchError):
    """The cache cannot be used: not writable, of another version, held by another process."""

    kind = "cache"


class Incomplete(MedfetchError):
    """A run ended with files missing; ``failures`` holds the first of them, ``worst`` decides the exit code."""

    kind = "incomplete"

    def __init__(
        self, message: str, *, failures: list[dict[str, Any]], exit_code: int = 1, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.failures = failures
        self.exit_code = exit_code

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"failures": self.failures}


class Stopped(MedfetchError):
    """A signal asked the run to stop; everything complete is kept."""

    kind = "stopped"
    PARKED = 75
    """The exit code of a run that has time to end what is nearly here: EX_TEMPFAIL of sysexits.h."""

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
