"""What Jobs as processes promise beyond the port: they outlive us, never run twice, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.common.errors import NotReady
from services.common.hubtoken import hub_token
from services.common.jobs import jobfolder
from services.common.jobs.port import JobSpec, Resources
from services.common.jobs.process import ProcessJobs
from services.common.secretfiles import Secrets

SLEEP = "import os, time; print(f'{os.getpid()} {os.getpgrp()}'); time.sleep(300)"

RUNNER = """
import asyncio, sys
from services.common.jobs.port import JobSpec
from services.common.jobs.process import ProcessJobs

async def main():
    jobs = ProcessJobs(sys.argv[1], command=(sys.executable, "-I", "-S", "-u", "-c"))
    await jobs.ensure(JobSpec("run-1", (sys.argv[2],), secrets={"t": "s"}))
    await jobs.ensure(JobSpec("run-2", ("print(2)",)))
    print("asked", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)


async def first_line(jobs: ProcessJobs, name: str) -> str:
    """Wait for the first line of a Job's log."""
    deadline = time.monotonic() + 20
    while not (lines := [line async for line in jobs.logs(name)]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return lines[0]


async def ended(jobs: ProcessJobs, name: str) -> int | None:
    """Wait for the Job's end and return its exit code."""
    deadline = time.monotonic() + 20
    while (status := await jobs.get(name)) is None or status.state in ("PENDING", "RUNNING"):
        assert time.monotonic() < deadline, f"{name} is {status}"
        await asyncio.sleep(0.02)
    return status.exit_code


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def killed_runner(folder: Path, program: str) -> None:
    """Let another program ask for two Jobs, and kill it."""
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(folder), program], stdout=subprocess.PIPE)
    assert runner.stdout is not None
    runner.stdout.readline()
    runner.kill()
    runner.communicate()


async def test_a_job_outlives_a_killed_runner_and_runs_once(
    tmp_path: Path, open_jobs: Callable[..., ProcessJobs]
) -> None:
    """The next runner adopts it, sees its exit code though it is no child of its own, and goes on with the queue."""
    go = tmp_path / "go"
    program = f"""
import os, sys, time
print(os.getpid())
while not os.path.exists({str(go)!r}):
    time.sleep(0.02)
sys.exit(9)
"""
    killed_runner(tmp_path, program)
    jobs = open_jobs()
    pid = int(await first_line(jobs, "run-1"))
    states = [status.state for status in await jobs.list()]
    go.touch()
    code = await ended(jobs, "run-1")

    assert states == ["RUNNING", "PENDING"]
    assert code == 9
    assert await ended(jobs, "run-2") == 0
    assert [line async for line in jobs.logs("run-1")] == [str(pid)]


async def test_a_job_that_ended_while_nobody_looked_is_known(
    tmp_path: Path, open_jobs: Callable[..., ProcessJobs]
) -> None:
    """The launcher wrote its exit code down."""
    killed_runner(tmp_path, "import time; time.sleep(0.3); raise SystemExit(4)")
    await until((tmp_path / "jobs/run-1/exit").exists)
    jobs = open_jobs()

    assert await ended(jobs, "run-1") == 4


async def test_a_job_killed_with_its_launcher_failed_without_a_code(open_jobs: Callable[..., ProcessJobs]) -> None:
    """As after a power cut: nobody saw the end."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", (SLEEP,)))
    group = int((await first_line(jobs, "run-1")).split()[1])
    os.killpg(group, signal.SIGKILL)

    assert await ended(jobs, "run-1") is None


async def test_a_program_that_is_killed_failed_with_137(open_jobs: Callable[..., ProcessJobs]) -> None:
    """As by the kernel when memory runs out: the launcher saw it."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", (SLEEP,)))
    os.kill(int((await first_line(jobs, "run-1")).split()[0]), signal.SIGKILL)

    assert await ended(jobs, "run-1") == 137


async def test_a_program_whose_launcher_is_gone_still_runs(open_jobs: Callable[..., ProcessJobs]) -> None:
    """It is not started a second time, and can be stopped."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", (SLEEP,)))
    pid, group = map(int, (await first_line(jobs, "run-1")).split())
    os.kill(group, signal.SIGKILL)
    await asyncio.sleep(0.3)
    status = await jobs.get("run-1")
    await jobs.stop("run-1", 10)

    assert status is not None
    assert status.state == "RUNNING"
    assert not alive(pid)
    assert await ended(jobs, "run-1") is None


async def test_what_a_program_left_running_ends_with_it(open_jobs: Callable[..., ProcessJobs]) -> None:
    """No data loader stays behind."""
    program = "import os, time\npid = os.fork()\nif pid == 0: time.sleep(300)\nprint(pid)"
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", (program,)))
    child = int(await first_line(jobs, "run-1"))
    code = await ended(jobs, "run-1")
    await until(lambda: not alive(child))

    assert code == 0


async def test_only_the_harmless_part_of_the_environment_is_passed_on(open_jobs: Callable[..., ProcessJobs]) -> None:
    """No token but a tracker's, no cloud credentials; threads that wait do not spin unless the user says so."""
    jobs = open_jobs(
        HF_HOME="/models",
        HF_TOKEN="t",
        FTF_TOKEN="t",
        AWS_SECRET_ACCESS_KEY="t",
        CUDA_VISIBLE_DEVICES="1",
        GOMP_SPINCOUNT="7",
        MLFLOW_TRACKING_URI="http://127.0.0.1:5000",
        MLFLOW_TRACKING_TOKEN="t",
    )
    await jobs.ensure(
        JobSpec("run-1", ("import os; print(sorted(set(os.environ) - {'PWD', 'LC_CTYPE'}))",), {"X": "1"})
    )
    await jobs.ensure(
        JobSpec("run-2", ("import os; print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])",))
    )
    await ended(jobs, "run-2")

    names = ["CUDA_VISIBLE_DEVICES", "FTF_SECRETS_DIR", "FTF_WORK_DIR", "GOMP_SPINCOUNT", "HF_HOME"]
    trackers = ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_URI"]
    assert await first_line(jobs, "run-1") == str([*names, *trackers, "OMP_WAIT_POLICY", "OWN", "PATH", "X"])
    assert await first_line(jobs, "run-2") == "PASSIVE 7"


async def test_a_job_is_given_the_hubs_token_in_its_environment_alone(
    open_jobs: Callable[..., ProcessJobs], tmp_path: Path
) -> None:
    """A gated model needs it; whoever reads the Job's folder learns nothing. One that cannot be read is left out."""
    tokens = ["hf_secret", None]

    def hub_token() -> str | None:
        if not tokens:
            raise NotReady("The file is gone. Write it.")
        return tokens.pop(0)

    jobs = open_jobs(hub_token=hub_token, HF_TOKEN="hf_stale")
    program = "import os; print(len(os.environ.get('HF_TOKEN', '')))"
    for name in ("run-1", "run-2", "run-3"):
        await jobs.ensure(JobSpec(name, (program,)))
    await ended(jobs, "run-3")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert [await first_line(jobs, name) for name in ("run-1", "run-2", "run-3")] == ["9", "0", "0"]
    assert b"HF_TOKEN" in written
    assert b"hf_" not in written


async def test_a_job_starts_though_the_hubs_token_is_no_text(
    open_jobs: Callable[..., ProcessJobs], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those behind it in the queue too; the log says why it has none."""
    secrets = Secrets(tmp_path / "secrets")
    (tmp_path / "secrets" / "hub-token").write_bytes(b"hf_\xff")
    jobs = open_jobs(hub_token=hub_token(None, secrets.get, {}))
    for name in ("run-1", "run-2"):
        await jobs.ensure(JobSpec(name, ("import os; print(len(os.environ.get('HF_TOKEN', '')))",)))
    await ended(jobs, "run-2")

    assert [await first_line(jobs, name) for name in ("run-1", "run-2")] == ["0", "0"]
    assert "Jobs start without the hub's token: The secret hub-token cannot be read." in caplog.text
    assert "hf_" not in caplog.text


async def test_a_shutdown_starts_nothing_in_place_of_what_it_stops(open_jobs: Callable[..., ProcessJobs]) -> None:
    """What waits does so until the next runner."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", (SLEEP,)))
    await jobs.ensure(JobSpec("run-2", ("print(2)",)))
    await first_line(jobs, "run-1")
    jobs.hold()
    await jobs.stop("run-1", 10)
    await asyncio.sleep(0.5)
    states = [(status.state, status.exit_code) for status in await jobs.list()]
    await jobs.close()

    assert states == [("FAILED", 143), ("PENDING", None)]
    assert await ended(open_jobs(), "run-2") == 0


async def test_a_line_shows_before_it_is_finished(open_jobs: Callable[..., ProcessJobs]) -> None:
    """As a progress bar is until its end."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", ("import sys, time; sys.stdout.write('1%\\r50%'); time.sleep(300)",)))
    await first_line(jobs, "run-1")

    assert await first_line(jobs, "run-1") == "50%"


@pytest.mark.parametrize(("gpus", "seen"), [(None, "None None"), (0, " None"), (1, "0 None"), (2, "0,1 2")])
async def test_a_job_sees_the_gpus_it_asked_for(
    gpus: int | None, seen: str, open_jobs: Callable[..., ProcessJobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all when it did not say."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    jobs = open_jobs()
    show = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ.get('FTF_PROCESSES'))"
    await jobs.ensure(JobSpec("a-1", (show,), resources=Resources(gpus=gpus)))

    assert await first_line(jobs, "a-1") == seen


async def test_a_job_that_is_stopped_as_it_starts_is_asked_to_end(
    open_jobs: Callable[..., ProcessJobs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one SIGTERM is for the program: none is lost on the launcher, which goes on."""
    slow = jobfolder._LAUNCHER.replace("trap : TERM\n", "trap : TERM\nsleep 0.3\n")
    monkeypatch.setattr(jobfolder, "_LAUNCHER", slow)
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", (SLEEP,)))
    await until(lambda: bool(list(tmp_path.rglob("run-1/pid"))))
    await asyncio.sleep(0.1)
    await jobs.stop("run-1", 5)

    assert await ended(jobs, "run-1") == 143
