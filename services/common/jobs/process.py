"""Jobs as processes on this machine, for one runner at a time: some run, the rest wait, by priority and in turn.

A Job lives in a session of its own and outlives the runner. The next runner over the same folder finds it again.
Of a Job's resources, `gpus` says how many it sees and `active_deadline_seconds` ends it; `queue`, `priority_class` and
`gpu_product` mean nothing on one machine, where the quantities are checked but not enforced.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services.common import hubtoken, trackers
from services.common.errors import Exhausted, FineTuneFlowError, InvalidArgument, Unavailable
from services.common.jobs.jobfolder import JobFolder
from services.common.jobs.port import JobSpec, JobStatus, Resources, Waiting, check_name, check_spec
from services.common.jobs.quantity import check_quantities

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_STOP_POLL_SECONDS = 0.05
_DELETE_GRACE_SECONDS = 5.0
_SCRATCH_SECONDS = 600.0
_PASSED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONPATH")
_PASSED_PREFIXES = ("CUDA", "GOMP", "HF_", "LC_", "MKL", "NVIDIA", "OMP", "SSL_CERT", *trackers.VARIABLES)
_QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""Two trainers whose threads spin while they wait stop each other on a machine with few cores."""
_OVER = ("SUCCEEDED", "FAILED")


class ProcessJobs:
    """Runs trainers as child processes.

    Args:
        folder: where the Jobs are kept; made if missing.
        env: variables for every Job; those of a spec win.
        parallel: Jobs that run at the same time, at least 1.
        command: what to run; the Job's arguments follow.
        environ: the environment of which the harmless part is passed on; by default that of this process.
        hub_token: returns the model hub's token, None without one. A Job's process has it as HF_TOKEN, and no file.

    Raises:
        Unavailable: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path | str,
        env: Mapping[str, str] | None = None,
        parallel: int = 1,
        *,
        command: Sequence[str] = (sys.executable, "-m", "services.trainer"),
        environ: Mapping[str, str] | None = None,
        hub_token: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._folder = Path(folder).absolute() / "jobs"
        self._scratch = Path(folder).absolute() / "scratch"
        passed = {k: v for k, v in (os.environ if environ is None else environ).items() if _is_passed(k)}
        self._env = {**_QUIET_THREADS, **passed, **(env or {})}
        self._hub_token = hub_token
        self._parallel = parallel
        self._command = tuple(command)
        self._held = False
        self._listeners: list[Callable[[], None]] = []
        self._seen: dict[str, str] = {}
        self._trouble: dict[str, str] = {}
        self._clean: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        with self._explained():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._scratch.mkdir(exist_ok=True, mode=0o700)
            for leftover in self._folder.glob("~*"):
                shutil.rmtree(leftover, ignore_errors=True)
            self._jobs = {path.name: JobFolder(path) for path in self._folder.iterdir()}

    @property
    def restarts(self) -> bool:
        """See port.JobRunner: a process is started once."""
        return False

    def check(self, resources: Resources) -> None:
        """See port.JobRunner. Whether the GPUs are there, and have room, is for whoever knows the hardware."""
        if resources.nodes > 1:
            raise InvalidArgument(
                f"nodes is {resources.nodes}, and this is one machine. Use 1, or a cluster.", field="resources.nodes"
            )
        check_quantities(resources)

    def heeds(self, priority: int, resources: Resources) -> bool:
        """See port.JobRunner: they start by priority."""
        return priority != 0

    def listen(self, changed: Callable[[], None]) -> None:
        """See port.JobRunner."""
        self._listeners.append(changed)

    async def ensure(self, spec: JobSpec) -> None:
        """See port.JobRunner."""
        check_spec(spec)
        if spec.name not in self._jobs:
            with self._explained():
                self._jobs[spec.name] = JobFolder.create(self._folder / spec.name, spec)
        self._advance()

    async def get(self, name: str) -> JobStatus | None:
        """See port.JobRunner."""
        check_name(name)
        return next((status for status in await self.list() if status.name == name), None)

    async def list(self) -> list[JobStatus]:
        """See port.JobRunner."""
        self._advance()
        statuses = [self._status(job) for job in self._in_order()]
        running = sum(status.state == "RUNNING" for status in statuses)
        line = self._in_line(s.name for s in statuses if s.state == "PENDING")
        places = {name: place for place, name in enumerate(line, start=1)}
        return [
            replace(s, waiting=self._waiting(s.name, running, places[s.name])) if s.name in places else s
            for s in statuses
        ]

    def _waiting(self, name: str, running: int, place: int) -> Waiting:
        ahead = running + place - 1
        if trouble := self._trouble.get(name):
            return Waiting("STARTING", f"It cannot be started ({trouble}). Check the disk and its permissions.")
        if self._held:
            return Waiting("ROOM", "The server is stopping. It goes on when the server is started again.", place)
        if not ahead:
            return Waiting("STARTING", "It is being started. Wait a moment.")
        jobs = "1 Job comes" if ahead == 1 else f"{ahead} Jobs come"
        soon = "What has just ended leaves within seconds; else wait, or cancel what is not needed."
        return Waiting("ROOM", f"{jobs} before it on this machine. {soon}", place)

    async def stop(self, name: str, grace_seconds: float) -> None:
        """See port.JobRunner."""
        check_name(name)
        job = self._jobs.get(name)
        if job is None:
            return
        with self._explained():
            job.forbid()
        deadline = time.monotonic() + grace_seconds
        while self._jobs.get(name) is job and self._status(job).state not in _OVER:
            with self._explained():
                if time.monotonic() >= deadline:
                    job.signal(signal.SIGKILL)
                else:
                    job.terminate()
            await asyncio.sleep(_STOP_POLL_SECONDS)
        self._advance()

    async def delete(self, name: str) -> None:
        """See port.JobRunner."""
        await self.stop(name, _DELETE_GRACE_SECONDS)
        job = self._jobs.pop(name, None)
        if job is None:
            return
        self._clean.discard(name)
        self._trouble.pop(name, None)
        with self._explained():
            job.clean()
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._scratch_of(job))
            grave = job.bury()
        await asyncio.to_thread(shutil.rmtree, grave, ignore_errors=True)
        self._advance()

    async def logs(self, name: str) -> AsyncIterator[str]:
        """See port.JobRunner."""
        check_name(name)
        job = self._jobs.get(name)
        with self._explained():
            lines = await asyncio.to_thread(job.lines) if job else []
        for line in lines:
            yield line

    def hold(self) -> None:
        """Start nothing more; what waits is started by the next runner over this folder."""
        self._held = True

    async def close(self) -> None:
        """Let go of the Jobs; those that run go on, those that wait stay so. Repeating it does nothing."""
        self.hold()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _advance(self) -> None:
        """Start what there is room for, and keep an eye on it for as long as something waits or runs."""
        states = {job.name: self._status(job).state for job in self._in_order()}
        room = self._parallel - list(states.values()).count("RUNNING")
        waiting = self._in_line(name for name, state in states.items() if state == "PENDING")
        for name in waiting[: max(room, 0)] if not self._held else []:
            self._start(self._jobs[name])
        with self._explained():
            for name, state in states.items():
                if state == "RUNNING":
                    self._jobs[name].end_if_late()
        self._tell(states)
        self._remove_scratch()
        live = any(state not in _OVER for state in states.values())
        if live and not self._held and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._watch(), name="jobs")

    def _tell(self, states: Mapping[str, str]) -> None:
        if self._seen != states:
            self._seen = dict(states)
            for changed in self._listeners:
                changed()

    async def _watch(self) -> None:
        """Start the next Job when one ends, though nobody asks."""
        while any(self._status(job).state not in _OVER for job in self._in_order()):
            await asyncio.sleep(_POLL_SECONDS)
            self._advance()

    def _start(self, job: JobFolder) -> None:
        try:
            job.start(self._command, {**self._env, **self._for_hub()}, self._scratch_of(job))
            self._trouble.pop(job.name, None)
        except OSError as error:  # it stays in the queue and is tried again
            self._trouble[job.name] = str(error)
            log.warning("Job %s cannot start: %s", job.name, error)

    def _for_hub(self) -> dict[str, str]:
        try:
            token = self._hub_token()
        except FineTuneFlowError as error:  # most Jobs need none; one that does says so itself
            log.warning("Jobs start without the hub's token: %s", error)
            return {}
        return {hubtoken.VARIABLE: token} if token else {}

    def _status(self, job: JobFolder) -> JobStatus:
        with self._explained():
            status = job.status()
            if status.state in _OVER and job.name not in self._clean:
                self._clean.add(job.name)
                job.clean()
        return status

    def _in_line(self, names: Iterable[str]) -> Sequence[str]:
        """Return Jobs that wait, the next first."""
        return sorted(names, key=lambda name: self._jobs[name].rank)

    def _in_order(self) -> Sequence[JobFolder]:
        return sorted(self._jobs.values(), key=lambda job: (job.order, job.name))

    def _scratch_of(self, job: JobFolder) -> Path:
        return self._scratch / scratch_name(job)

    def _remove_scratch(self) -> None:
        """Remove the scratch folders that no Job has used for a while; the next launch of a run comes sooner."""
        used = {scratch_name(job) for job in self._jobs.values()}
        for path in self._scratch.iterdir():
            if path.name not in used and path.stat().st_mtime < time.time() - _SCRATCH_SECONDS:
                shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Exhausted(f"The disk that holds {self._folder} is full. Free space there and repeat.") from error
            message = f"{self._folder} cannot be used ({error}). Check the disk and its permissions, then repeat."
            raise Unavailable(message) from error


def scratch_name(job: JobFolder) -> str:
    """Return the name of a Job's scratch folder: that of what it works for, so that the next launch finds it."""
    uid = job.labels.get("uid", "")
    return uid if uid.replace("-", "").isalnum() else job.name


def _is_passed(variable: str) -> bool:
    if variable in trackers.SECRETS:  # a tracker's, for the trainer alone
        return True
    return "TOKEN" not in variable and (variable in _PASSED or variable.startswith(_PASSED_PREFIXES))
