"""What runs trainers; the same contract tests run against every implementation.

A Job runs one program once. It is known by its name, which the caller derives from the work and the number of the
launch, so that asking for it twice starts it once. Jobs outlive the service that asked for them, and the runner that
a restarted service makes finds them again. A Job that ended is never started again: another launch is another name. A
runner that restarts may start the program of a Job that has not ended several times, one after the other.

    PENDING → RUNNING → SUCCEEDED (exit code 0) | FAILED (any other, or none)

Errors of every method: Unavailable (what runs Jobs does not answer), which may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from services.common.errors import InvalidArgument

JobState = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED"]

MAX_NODES = 64
"""Most nodes that work together."""
MAX_GPUS = 128
"""Most GPUs of one node."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Resources:
    """What a Job asks of the place where it runs; see training/v1/resources.proto. Unset means the runner's default.

    Args:
        gpus: GPUs of each node; None for the runner's default.
        cpu, memory, ephemeral_storage, shm_size: Kubernetes quantities, of each node.
        nodes: pods that work together, at least 1.
        active_deadline_seconds: longest time from start to end, 0 for the runner's default.
    """

    gpus: int | None = None
    gpu_product: str = ""
    cpu: str = ""
    memory: str = ""
    ephemeral_storage: str = ""
    shm_size: str = ""
    nodes: int = 1
    queue: str = ""
    priority_class: str = ""
    active_deadline_seconds: int = 0


@dataclass(frozen=True)
class JobSpec:
    """What to run.

    Besides `env`, the program finds FTF_SECRETS_DIR, the folder of its secrets, and FTF_WORK_DIR, a scratch folder.

    Args:
        name: at most 63 lower-case letters, digits and dashes, neither first nor last a dash.
        args: the trainer's arguments; everybody on the machine can read them.
        env: environment variables; not for secrets.
        secrets: file name → content, delivered as files that only the Job's user can read.
        labels: facts to find the Job by, returned with its status. `kind` tells what sort of work it does, `uid` what
            it works for. On one machine, Jobs of the same uid share their scratch folder, which goes some minutes
            after the last of them; in a cluster each pod has an empty one.
        resources: what it asks for.
        priority: what goes first where not everything has room; of equal ones the one with the earlier `since`.
        since: when the work was queued, in seconds since 1970; 0 for when the Job is made.
        restarts: whether a runner that starts programs again when they fail does so.
    """

    name: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    priority: int = 0
    since: float = 0.0
    restarts: bool = True


@dataclass(frozen=True)
class Waiting:
    """Why a Job has no live process.

    Args:
        reason: a WaitingReason of common/v1/waiting.proto, without its prefix: "UNSCHEDULABLE".
        message: details and the remedy, for people.
        position: its place among what waits for room, 1 for the next; 0 where that is not known.
    """

    reason: str
    message: str
    position: int = 0


@dataclass(frozen=True)
class JobStatus:
    """How a Job is doing.

    Args:
        name: the Job's name.
        state: where it is in its life.
        exit_code: once it has ended, the program's exit code, 128 + n for death by signal n; None if nobody saw it, as
            when everything was killed together or the machine went down.
        labels: as given.
        waiting: why nothing runs, while the state is PENDING; None if the runner cannot say.
        reason: for a Job that FAILED otherwise than by its program's own exit: OOM_KILLED, DEADLINE_EXCEEDED,
            NODE_LOST, EVICTED or STOPPED; "" otherwise.
        message: what reason means here, and the remedy; "" without one.
    """

    name: str
    state: JobState
    exit_code: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    waiting: Waiting | None = None
    reason: str = ""
    message: str = ""


class JobRunner(Protocol):
    """Starts Jobs and follows them.

    Args:
        restarts: whether the runner itself starts the program of a Job again when it fails, so that a Job that FAILED
            has had its repeats.
    """

    @property
    def restarts(self) -> bool:
        """Whether a Job that FAILED has had its repeats."""
        ...

    def check(self, resources: Resources) -> None:
        """Refuse what no Job here can be given, whatever is free.

        Raises:
            InvalidArgument: a quantity is not one, or a thing asked for does not exist here; the message says which.
        """
        ...

    def heeds(self, priority: int, resources: Resources) -> bool:
        """Return whether a Job of a priority, and with these resources, is treated otherwise than one of priority 0."""
        ...

    def listen(self, changed: Callable[[], None]) -> None:
        """Call back, on this event loop, whenever a Job may have changed; never instead of looking now and then."""
        ...

    async def ensure(self, spec: JobSpec) -> None:
        """See to it that there is a Job of that name; it starts when there is room.

        On one machine they start by priority, then by `since`; in a cluster its scheduler or its queue decides, by the
        classes that its settings list for priorities. The Job is durable when this returns. Repeating it does nothing,
        whatever the rest of the spec, also when the Job has ended.

        Raises:
            InvalidArgument: the name, or the name of a secret or a variable, is bad.
            NotReady: what runs Jobs does not take it as it is (JOB_REFUSED).
            Unavailable: it does not take it now; metadata "waiting" is the WaitingReason, if it is known.
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

        Where Jobs are restarted, those of every process of the Job, oldest first. A Job that is not there, or has not
        started, has none.
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


def check_gpus(wanted: int | None, most: int | None) -> None:
    """Refuse more GPUs than there can be.

    Args:
        wanted: GPUs asked for; None for the default.
        most: GPUs of the machine; None in a cluster, where a run waits for them.

    Raises:
        InvalidArgument: more are asked for.
    """
    if most is not None and (wanted or 0) > most:
        has = f"{most} GPU{'' if most == 1 else 's'}" if most else "no GPU"
        remedy = f"Ask for at most {most}." if most else "Leave it out: --gpus of `ftf`."
        raise InvalidArgument(f"gpus is {wanted}, and this machine has {has}. {remedy}", field="resources.gpus")
