"""What runs trainers; the same contract tests run against every implementation.

A Job runs one program once. It is known by its name, which the caller derives from the work and the number of the
launch, so that asking for it twice starts it once. Jobs outlive the service that asked for them, and the runner that
a restarted service makes finds them again. A Job that ended is never started again: another launch is another name.

    PENDING → RUNNING → SUCCEEDED (exit code 0) | FAILED (any other, or none)

Errors of every method: Unavailable (what runs Jobs does not answer), which may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from services.common.errors import InvalidArgument

JobState = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED"]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class JobSpec:
    """What to run.

    Besides `env`, the program finds FTF_SECRETS_DIR, the folder of its secrets, and FTF_WORK_DIR, a scratch folder.

    Args:
        name: at most 63 lower-case letters, digits and dashes, neither first nor last a dash.
        args: the trainer's arguments; everybody on the machine can read them.
        env: environment variables; not for secrets.
        secrets: file name → content, delivered as files that only the Job's user can read.
        labels: facts to find the Job by, returned with its status. `uid` tells what the Job works for: on one machine,
            Jobs of the same uid share their scratch folder, which goes some minutes after the last of them.
    """

    name: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobStatus:
    """How a Job is doing.

    Args:
        name: the Job's name.
        state: where it is in its life.
        exit_code: once it has ended, the program's exit code, 128 + n for death by signal n; None if nobody saw it, as
            when everything was killed together or the machine went down.
        labels: as given.
    """

    name: str
    state: JobState
    exit_code: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


class JobRunner(Protocol):
    """Starts Jobs and follows them."""

    async def ensure(self, spec: JobSpec) -> None:
        """See to it that there is a Job of that name; it starts when there is room, in the order of these calls.

        Durable when it returns. Repeating it does nothing, whatever the rest of the spec, also when the Job has ended.

        Raises:
            InvalidArgument: the name, or the name of a secret or a variable, is bad.
            Exhausted: there is no room to keep it (DISK_FULL).
        """
        ...

    async def get(self, name: str) -> JobStatus | None:
        """Return the Job's status, or None if there is no such Job."""
        ...

    async def list(self) -> list[JobStatus]:
        """Return all Jobs, in the order in which they were asked for."""
        ...

    async def stop(self, name: str, grace_seconds: float) -> None:
        """End the Job and return when it has ended; one that still waits never starts and is FAILED with 143.

        Repeating it, for a Job that has ended or is not there, does nothing.

        Args:
            name: the Job's name.
            grace_seconds: time between SIGTERM, at which a trainer saves, and SIGKILL.
        """
        ...

    async def delete(self, name: str) -> None:
        """Forget the Job, its log and its secrets; stop it first if need be. Repeating it does nothing."""
        ...

    def logs(self, name: str) -> AsyncIterator[str]:
        """Yield the lines that the Job has written so far, without line ends; at least the last 10 MiB.

        A Job that is not there, or has not started, has none.
        """
        ...


def check_spec(spec: JobSpec) -> None:
    """Refuse a spec with names that an implementation could not use.

    Raises:
        InvalidArgument: the Job's name, or the name of a secret or a variable, is bad.
    """
    check_name(spec.name)
    for file in spec.secrets:
        if not _FILE.fullmatch(file):
            raise InvalidArgument(f"{file!r} is not a secret's name. Use letters, digits, dots, dashes, underscores.")
    for variable in spec.env:
        if not _VARIABLE.fullmatch(variable):
            raise InvalidArgument(f"{variable!r} is not a variable's name. Use letters, digits and underscores.")


def check_name(name: str) -> None:
    """Refuse a name that no Job can have.

    Raises:
        InvalidArgument: the name is bad.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"{name!r} is not a Job's name. Use at most 63 lower-case letters, digits and dashes.")
