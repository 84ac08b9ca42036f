"""One Job on disk: everything that there is to know of it, so that its status survives whoever asks.

    <name>/spec.json   what to run, without its secrets
    <name>/secrets/    0700, files 0600; gone once the Job has ended
    <name>/lock        locked for as long as the launcher or the program lives: the kernel's word, not a pid's
    <name>/pid         the launcher's /proc/<pid>/stat line: its pid and start time; as old as the start itself
    <name>/going       there once the program is what a signal reaches
    <name>/log         stdout and stderr
    <name>/exit        the exit code
    <name>/late        there once the Job has run longer than it may; as old as the SIGTERM that followed

A launcher of a few lines of shell runs between us and the program and writes its exit code down.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services.common.jobs.loglines import LOG_BYTES, log_lines
from services.common.jobs.port import JobSpec, JobState, JobStatus

EXIT_STOPPED = 143
_GOING_SECONDS = 1.0
"""After which a launcher has become the program, whether it wrote that down or not."""
LATE_GRACE_SECONDS = 60.0
"""Between SIGTERM, at which a trainer saves, and SIGKILL, for a Job that has run too long."""
_LATE = (
    "It ran longer than its active_deadline_seconds, {seconds} s. Allow more time, or ask for fewer steps; its "
    "checkpoints are kept."
)
_LAUNCHER = r"""
job=$0
leave() { printf '%s\n' "$1" > "$job/exit.tmp" && mv "$job/exit.tmp" "$job/exit"; exit "$1"; }
trap 'leave 143' TERM
trap : INT HUP
read -r stat < /proc/$$/stat
printf '%s\n' "$stat" > "$job/pid.tmp" && mv "$job/pid.tmp" "$job/pid"
trap : TERM
(: > "$job/going"; exec "$@")
leave $?
"""


class JobFolder:
    """The files of one Job. The methods take milliseconds and raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        spec = json.loads((path / "spec.json").read_text())
        self.name = path.name
        self.order: int = spec["order"]
        self.rank = rank(self.name, self.order, spec.get("priority", 0), spec.get("since", 0.0))
        self._args: list[str] = spec["args"]
        self._env: dict[str, str] = spec["env"]
        self.labels: dict[str, str] = spec["labels"]
        self.deadline_seconds: int = spec.get("deadline_seconds", 0)
        self._launcher: subprocess.Popen[bytes] | None = None
        self._terminated = (path / "late").exists()  # whoever wrote that has sent it

    @classmethod
    def create(cls, path: Path, spec: JobSpec) -> JobFolder:
        """Write a new Job down, whole or not at all, and durably.

        Raises:
            FileExistsError: there is one of that name.
        """
        draft = path.parent / f"~{path.name}-{secrets.token_hex(4)}"
        try:
            (draft / "secrets").mkdir(parents=True, mode=0o700)
            draft.chmod(0o700)
            for name, content in spec.secrets.items():
                _write(draft / "secrets" / name, content)
            _write(draft / "spec.json", json.dumps(_body(spec)))
            _sync(draft)
            os.rename(draft, path)
            _sync(path.parent)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
            raise
        return cls(path)

    def status(self) -> JobStatus:
        """Return where the Job is."""
        if self._launcher is not None:
            self._launcher.poll()  # or it would stay a zombie
        alive = self._alive()  # asked first: the exit code is written before the lock is let go
        code = self._exit_code()
        state: JobState
        if code is not None:
            state = "SUCCEEDED" if code == 0 else "FAILED"
        elif alive:
            state = "RUNNING"
        else:
            state = "FAILED" if (self.path / "pid").exists() else "PENDING"
        late = state == "FAILED" and (self.path / "late").exists()
        message = _LATE.format(seconds=self.deadline_seconds) if late else ""
        reason = "DEADLINE_EXCEEDED" if late else ""
        return JobStatus(self.name, state, code, dict(self.labels), reason=reason, message=message)

    def start(self, command: Sequence[str], env: Mapping[str, str], scratch: Path) -> None:
        """Start the program, unless it has been started; from here it lives on without us."""
        scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = {"FTF_SECRETS_DIR": str(self.path / "secrets"), "FTF_WORK_DIR": str(scratch)}
        with self._locked() as lock:
            if lock < 0 or self.has_begun():
                return
            with (self.path / "log").open("ab") as log:
                self._launcher = subprocess.Popen(
                    ["/bin/sh", "-c", _LAUNCHER, str(self.path), *command, *self._args],
                    env={**env, **self._env, **own},
                    cwd=scratch,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[lock],
                )

    def forbid(self) -> None:
        """See to it that a Job that still waits never starts."""
        with self._locked() as lock:
            if lock >= 0 and not self.has_begun():
                self._write_exit(EXIT_STOPPED)

    def has_begun(self) -> bool:
        """Return whether the Job has left the queue: started, or forbidden to start."""
        return (self.path / "pid").exists() or (self.path / "exit").exists()

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the Job's processes; False if it has not got going yet, or they are gone."""
        pid = self._pid()
        if not pid:
            return False
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return False
        return True

    def terminate(self) -> None:
        """Ask the Job to save and end: once, for a program that is already ending would die of a second SIGTERM."""
        if not self._terminated and self._is_going():
            self._terminated = self.signal(signal.SIGTERM)

    def _is_going(self) -> bool:
        """Whether a signal reaches the program: before, it would be lost on the launcher, which goes on."""
        return (self.path / "going").exists() or time.time() > _changed(self.path / "pid") + _GOING_SECONDS

    def end_if_late(self) -> None:
        """End a running Job that has had its time: it is asked to save, and killed if it does not end."""
        now, late = time.time(), self.path / "late"
        asked = _changed(late)
        if not asked and self.deadline_seconds and now >= (_changed(self.path / "pid") or now) + self.deadline_seconds:
            late.touch()  # first, so that its end is never taken for its own
            self.terminate()
        elif asked and now >= asked + LATE_GRACE_SECONDS:
            self.signal(signal.SIGKILL)

    def clean(self) -> None:
        """After the end: remove the secrets, and end what the program left running."""
        shutil.rmtree(self.path / "secrets", ignore_errors=True)
        if self._alive():
            self.signal(signal.SIGKILL)

    def lines(self) -> list[str]:
        """Return the last lines of the log; of what a progress bar wrote over itself, the last."""
        try:
            with (self.path / "log").open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LOG_BYTES))
                return log_lines(file.read())
        except FileNotFoundError:
            return []

    def bury(self) -> Path:
        """Free the Job's name at once, and return the folder that is left to remove."""
        grave = self.path.parent / f"~{self.name}-{secrets.token_hex(4)}"
        os.rename(self.path, grave)
        return grave

    def _alive(self) -> bool:
        with self._locked() as lock:
            return lock < 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Yield the descriptor of the lock, or -1 if a process of the Job has it."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor if _try_lock(descriptor) else -1
        finally:
            os.close(descriptor)

    def _exit_code(self) -> int | None:
        try:
            return int((self.path / "exit").read_text())
        except FileNotFoundError:
            return None

    def _write_exit(self, code: int) -> None:
        _write(self.path / "exit.tmp", f"{code}\n")
        os.replace(self.path / "exit.tmp", self.path / "exit")

    def _pid(self) -> int:
        """Return the launcher's pid, which leads the Job's process group; 0 if it can no longer be meant.

        The pid may have been given to another process since, which the start time tells.
        """
        try:
            pid, start = _pid_and_start((self.path / "pid").read_text())
        except FileNotFoundError:
            return 0
        try:
            now = _pid_and_start(Path(f"/proc/{pid}/stat").read_text())
        except (FileNotFoundError, ProcessLookupError):
            return pid  # the leader is gone; while its group has members, nobody else gets the number
        return pid if now == (pid, start) else 0


def rank(name: str, order: int, priority: int, since: float) -> tuple[int, float, int, str]:
    """Return what Jobs that wait are sorted by: the next first.

    Args:
        order: when it was made, in nanoseconds since 1970.
        priority, since: see JobSpec.
    """
    return -priority, since or order / 1e9, order, name


def _body(spec: JobSpec) -> dict[str, object]:
    return {
        "order": time.time_ns(),
        "priority": spec.priority,
        "since": spec.since,
        "args": spec.args,
        "env": {**_gpus(spec.resources.gpus), **spec.env},
        "labels": dict(spec.labels),
        "deadline_seconds": spec.resources.active_deadline_seconds,
    }


def _gpus(count: int | None) -> dict[str, str]:
    """Return the variables that show a Job so many GPUs of those that this process sees; None shows all."""
    if count is None:
        return {}
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = [str(n) for n in range(count)] if seen is None else [d for d in seen.split(",") if d][:count]
    several = {"FTF_PROCESSES": str(count)} if count > 1 else {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(devices), **several}


def _changed(path: Path) -> float:
    """Return when a file was last written, in seconds since 1970; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_and_start(stat: str) -> tuple[int, int]:
    """Return the pid and the start time, in clock ticks since boot, of a /proc/<pid>/stat line."""
    fields = stat.rpartition(")")[2].split()
    return int(stat.split(" ", 1)[0]), int(fields[19])


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
