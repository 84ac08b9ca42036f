"""What Jobs as processes promise beyond the port: they outlive us, never run twice, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.common.errors import InvalidArgument, Unavailable
from services.common.jobs.port import JobSpec, Resources
from services.common.jobs.process import ProcessJobs

PYTHON = (sys.executable, "-I", "-S", "-u", "-c")
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


@pytest.fixture
async def open_jobs(tmp_path: Path) -> AsyncIterator[Callable[..., ProcessJobs]]:
    """Opens runners over the same folder; what still runs at the end is killed."""
    opened: list[ProcessJobs] = []

    def open_runner(parallel: int = 1, **environ: str) -> ProcessJobs:
        environ = {"PATH": os.environ["PATH"], **environ}
        opened.append(ProcessJobs(tmp_path, {"OWN": "1"}, parallel, command=PYTHON, environ=environ))
        return opened[-1]

    yield open_runner
    for jobs in opened:
        await jobs.close()
    if opened:
        await opened[-1].stop_all(0)


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


async def test_secrets_go_when_the_job_has_ended(tmp_path: Path, open_jobs: Callable[..., ProcessJobs]) -> None:
    """They were never in the spec that is kept."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", ("print(1)",), secrets={"launch_token": "s3cret"}))
    await ended(jobs, "run-1")

    kept = "".join(p.read_text() for p in (tmp_path / "jobs").rglob("*") if p.is_file())
    assert "s3cret" not in kept
    assert not (tmp_path / "jobs/run-1/secrets").exists()


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


async def test_several_run_at_once_where_asked_for(open_jobs: Callable[..., ProcessJobs]) -> None:
    """No more than `parallel`."""
    jobs = open_jobs(parallel=2)
    for n in range(3):
        await jobs.ensure(JobSpec(f"run-{n}", (SLEEP,)))

    assert [status.state for status in await jobs.list()] == ["RUNNING", "RUNNING", "PENDING"]


async def test_a_shutdown_stops_what_runs_and_starts_nothing(open_jobs: Callable[..., ProcessJobs]) -> None:
    """What waits does so until the next runner."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", (SLEEP,)))
    await jobs.ensure(JobSpec("run-2", ("print(2)",)))
    await first_line(jobs, "run-1")
    await jobs.stop_all(10)
    await asyncio.sleep(0.5)
    states = [(status.state, status.exit_code) for status in await jobs.list()]
    await jobs.close()

    assert states == [("FAILED", 143), ("PENDING", None)]
    assert await ended(open_jobs(), "run-2") == 0


async def test_the_scratch_folder_is_kept_for_the_next_launch_of_the_same_work(
    open_jobs: Callable[..., ProcessJobs],
) -> None:
    """Jobs of one uid share it, even if the first is deleted before the second is asked for."""
    jobs = open_jobs()
    where = "import os, pathlib; p = pathlib.Path(os.environ['FTF_WORK_DIR'], 'spool')"
    await jobs.ensure(JobSpec("run-a-1", (f"{where}; p.write_text('kept')",), labels={"uid": "a"}))
    await ended(jobs, "run-a-1")
    await jobs.delete("run-a-1")
    await jobs.ensure(JobSpec("run-a-2", (f"{where}; print(p.read_text())",), labels={"uid": "a"}))
    await jobs.ensure(JobSpec("run-b-1", (f"{where}; print(p.exists())",), labels={"uid": "b"}))
    await ended(jobs, "run-b-1")

    assert await first_line(jobs, "run-a-2") == "kept"
    assert await first_line(jobs, "run-b-1") == "False"


async def test_jobs_wait_for_room_in_the_order_they_were_asked_for(open_jobs: Callable[..., ProcessJobs]) -> None:
    """And start by themselves when there is room, though nobody asks."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("z-1", (SLEEP,)))
    for name in ("y-1", "x-1", "w-1"):
        await jobs.ensure(JobSpec(name, ("import time; print(time.time_ns())",)))
    await first_line(jobs, "z-1")
    waiting = [(s.name, s.state) for s in await jobs.list()]
    await jobs.stop("z-1", 10)
    times = [int(await first_line(jobs, name)) for name in ("y-1", "x-1", "w-1")]

    assert waiting == [("z-1", "RUNNING"), ("y-1", "PENDING"), ("x-1", "PENDING"), ("w-1", "PENDING")]
    assert times == sorted(times)


async def test_a_jobs_secrets_are_its_users_alone(open_jobs: Callable[..., ProcessJobs]) -> None:
    """Not its group's either."""
    jobs = open_jobs()
    program = "import os, pathlib; p = pathlib.Path(os.environ['FTF_SECRETS_DIR'], 't'); print(oct(p.stat().st_mode))"
    await jobs.ensure(JobSpec("run-1", (program,), secrets={"t": "s3cret"}))

    assert await first_line(jobs, "run-1") == "0o100600"


async def test_a_line_shows_before_it_is_finished(open_jobs: Callable[..., ProcessJobs]) -> None:
    """As a progress bar is until its end."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", ("import sys, time; sys.stdout.write('1%\\r50%'); time.sleep(300)",)))
    await first_line(jobs, "run-1")

    assert await first_line(jobs, "run-1") == "50%"


async def test_old_scratch_folders_go(tmp_path: Path, open_jobs: Callable[..., ProcessJobs]) -> None:
    """Some time after the last Job of the work; those of Jobs that are known stay."""
    jobs = open_jobs()
    for name in ("a", "b"):
        await jobs.ensure(JobSpec(f"run-{name}", ("print(1)",), labels={"uid": name}))
        await ended(jobs, f"run-{name}")
    await jobs.delete("run-a")
    soon = (tmp_path / "scratch/a").exists()
    for name in ("a", "b"):
        os.utime(tmp_path / "scratch" / name, (0, 0))
    await jobs.list()

    assert soon
    assert not (tmp_path / "scratch/a").exists()
    assert (tmp_path / "scratch/b").exists()


async def test_half_made_and_half_removed_jobs_are_cleared_away(
    tmp_path: Path, open_jobs: Callable[..., ProcessJobs]
) -> None:
    """What a kill left of them is neither a Job nor rubbish for ever."""
    (tmp_path / "jobs/~run-1-ab12/secrets").mkdir(parents=True)
    jobs = open_jobs()

    assert await jobs.list() == []
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """The message names it."""
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="file"):
        ProcessJobs(tmp_path / "file")


async def test_a_waiting_job_says_how_many_come_before_it(open_jobs: Callable[..., ProcessJobs]) -> None:
    """And listeners hear when one starts and when it ends, without asking."""
    jobs = open_jobs()
    changes: list[float] = []
    jobs.listen(lambda: changes.append(time.monotonic()))
    for name in ("a-1", "b-1", "c-1"):
        await jobs.ensure(JobSpec(name, (SLEEP,)))
    waiting = [status.waiting for status in await jobs.list()]
    told = len(changes)
    os.kill(int((await first_line(jobs, "a-1")).split()[0]), signal.SIGKILL)
    await until(lambda: len(changes) > told)

    assert [w and (w.reason, w.message[:21]) for w in waiting] == [
        None,
        ("ROOM", "1 Job comes before it"),
        ("ROOM", "2 Jobs come before it"),
    ]
    assert told


SAVING = """
import signal, sys, time
def save(*_):
    time.sleep(0.3)
    print("saved"); sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("up"); time.sleep(300)
"""


async def test_a_job_that_runs_too_long_is_asked_to_save(open_jobs: Callable[..., ProcessJobs]) -> None:
    """It ends with the reason, and not before its time."""
    jobs = open_jobs()
    began = time.monotonic()
    await jobs.ensure(JobSpec("a-1", (SAVING,), resources=Resources(active_deadline_seconds=1)))
    code = await ended(jobs, "a-1")
    status = await jobs.get("a-1")

    assert time.monotonic() - began >= 1
    assert (code, status and status.reason) == (143, "DEADLINE_EXCEEDED")
    assert [line async for line in jobs.logs("a-1")] == ["up", "saved"]


async def test_the_deadline_is_kept_over_a_restart_of_the_runner(open_jobs: Callable[..., ProcessJobs]) -> None:
    """It counts from the start of the Job, whoever looks; a Job that was asked to save is not asked twice."""
    first = open_jobs()
    await first.ensure(JobSpec("a-1", (SAVING,), resources=Resources(active_deadline_seconds=1)))
    await first_line(first, "a-1")
    await first.close()
    await asyncio.sleep(1)
    second = open_jobs()
    await second.list()
    await second.close()
    third = open_jobs()
    code = await ended(third, "a-1")
    status = await third.get("a-1")

    assert (code, status and status.reason) == (143, "DEADLINE_EXCEEDED")
    assert [line async for line in third.logs("a-1")] == ["up", "saved"]


@pytest.mark.parametrize(
    "bad", [Resources(nodes=2), Resources(cpu="much"), Resources(memory="0"), Resources(shm_size="-1Gi")], ids=str
)
async def test_what_no_machine_can_give_is_refused(bad: Resources, open_jobs: Callable[..., ProcessJobs]) -> None:
    """Two nodes, and quantities that are none."""
    with pytest.raises(InvalidArgument):
        open_jobs().check(bad)


async def test_what_means_nothing_on_one_machine_is_taken(open_jobs: Callable[..., ProcessJobs]) -> None:
    """Queues and priorities belong to a cluster."""
    open_jobs().check(Resources(gpus=0, cpu="500m", memory="1.5Gi", shm_size="1e9", queue="team", priority_class="low"))


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
