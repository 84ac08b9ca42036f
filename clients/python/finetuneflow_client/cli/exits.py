"""What each exit code of `ftf` means."""

from __future__ import annotations

from finetuneflow_client.errors import FtfError, WorkCancelled, WorkFailed, WorkPaused

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
NOT_READY = 4
AWAY = 5
CANCELLED = 6
INTERRUPTED = 130
# What a shell reports for a program that SIGPIPE ended.
PIPE = 141

MEANINGS = (
    (OK, "it worked"),
    (FAILED, "the work failed, or the server refused it"),
    (USAGE, "the command or one of its values is wrong"),
    (NOT_FOUND, "what was named does not exist"),
    (NOT_READY, "the right command at the wrong time, or the work is paused: something must be done first"),
    (AWAY, "no server answers"),
    (CANCELLED, "the work was cancelled"),
    (INTERRUPTED, "interrupted, by Ctrl-C or SIGTERM"),
)

_CODES = {
    "INVALID_ARGUMENT": USAGE,
    "OUT_OF_RANGE": USAGE,
    "NOT_FOUND": NOT_FOUND,
    "FAILED_PRECONDITION": NOT_READY,
    "ALREADY_EXISTS": NOT_READY,
    "ABORTED": NOT_READY,
    "CANCELLED": CANCELLED,
}


def exit_code(error: FtfError) -> int:
    """Return the exit code that an error ends the command with."""
    if isinstance(error, WorkCancelled):
        return CANCELLED
    if isinstance(error, WorkFailed):
        return FAILED
    if isinstance(error, WorkPaused):
        return NOT_READY
    if error.away:
        return AWAY
    return _CODES.get(error.code, FAILED)
