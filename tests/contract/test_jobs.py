"""What every Job runner promises. The Jobs here are small Python programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from services.common.errors import InvalidArgument
from services.common.jobs.port import JobRunner, JobSpec, JobStatus, Resources

OpenJobs = Callable[[], JobRunner]

FOREVER = "import time; print('up'); time.sleep(300)"
SAVES = """
import signal, sys, time
def save(*_):
    print("saved"); sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("up"); time.sleep(300)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(300)"
TOO_MUCH = Resources(gpus=99)
"""What no cluster here has; on one machine a Job waits for its turn whatever it asks for."""


def job(name: str, program: str, **fields: Any) -> JobSpec:
    return JobSpec(name, (program,), **fields)


async def reach(jobs: JobRunner, name: str, *states: str) -> JobStatus:
    """Wait until the Job is in one of the states, or fail."""
    deadline = time.monotonic() + 20
    while (status := await jobs.get(name)) is None or status.state not in states:
        assert time.monotonic() < deadline, f"{name} is {status}"
        await asyncio.sleep(0.02)
    return status


async def log(jobs: JobRunner, name: str) -> list[str]:
    return [line async for line in jobs.logs(name)]


async def written(jobs: JobRunner, name: str, line: str = "") -> None:
    """Wait until the Job has written the line, or anything, or fail."""
    deadline = time.monotonic() + 20
    while not (lines := await log(jobs, name)) or (line and line not in lines):
        assert time.monotonic() < deadline, f"{name} wrote {lines}"
        await asyncio.sleep(0.02)


async def test_a_job_that_ends_well_succeeded(open_jobs: OpenJobs) -> None:
    """Its status carries its labels and its exit code."""
    jobs = open_jobs()
    await jobs.ensure(job("run-1", "print('hello')", labels={"kind": "run"}))

    assert await reach(jobs, "run-1", "SUCCEEDED", "FAILED") == JobStatus("run-1", "SUCCEEDED", 0, {"kind": "run"})
    assert await log(jobs, "run-1") == ["hello"]


async def test_a_job_that_ends_badly_failed_with_its_code(open_jobs: OpenJobs) -> None:
    """Errors are in the log, too."""
    jobs = open_jobs()
    await jobs.ensure(job("run-1", "import sys; print('trouble', file=sys.stderr); sys.exit(3)"))

    assert (await reach(jobs, "run-1", "SUCCEEDED", "FAILED")).exit_code == 3
    assert await log(jobs, "run-1") == ["trouble"]


async def test_asking_twice_starts_once(open_jobs: OpenJobs) -> None:
    """Also with another program, and also when the Job has ended."""
    jobs = open_jobs()
    await asyncio.gather(*(jobs.ensure(job("run-1", f"print({n})")) for n in range(3)))
    await reach(jobs, "run-1", "SUCCEEDED")
    await jobs.ensure(job("run-1", "print('again')"))
    await asyncio.sleep(0.3)

    assert await log(jobs, "run-1") in (["0"], ["1"], ["2"])
    assert len(await jobs.list()) == 1


async def test_a_job_finds_its_variables_secrets_and_scratch_folder(open_jobs: OpenJobs) -> None:
    """Secrets are files that others cannot read, and nowhere in the environment or the arguments."""
    program = """
import os, pathlib, sys
secret = pathlib.Path(os.environ["FTF_SECRETS_DIR"], "launch_token")
print(os.environ["FTF_WORK"], os.environ["FTF_ADDRESS"])
print(secret.read_text(), oct(secret.stat().st_mode & 0o007))
print("s3" + "cret" in str(os.environ) + open("/proc/self/cmdline").read())
pathlib.Path(os.environ["FTF_WORK_DIR"], "spool").write_text("x")
"""
    jobs = open_jobs()
    env = {"FTF_WORK": "projects/p/runs/r", "FTF_ADDRESS": "127.0.0.1:5"}
    await jobs.ensure(job("run-1", program, env=env, secrets={"launch_token": "s3cret"}))
    status = await reach(jobs, "run-1", "SUCCEEDED", "FAILED")

    assert await log(jobs, "run-1") == ["projects/p/runs/r 127.0.0.1:5", "s3cret 0o0", "False"]
    assert status.state == "SUCCEEDED"


async def test_stop_lets_a_job_save(open_jobs: OpenJobs) -> None:
    """It gets SIGTERM, and stop returns when it has ended; stopping it again does nothing."""
    jobs = open_jobs()
    await jobs.ensure(job("run-1", SAVES))
    await written(jobs, "run-1", "up")
    await asyncio.gather(jobs.stop("run-1", 20), jobs.stop("run-1", 20))
    await jobs.stop("run-1", 20)

    assert await jobs.get("run-1") == JobStatus("run-1", "FAILED", 143)
    assert await log(jobs, "run-1") == ["up", "saved"]


async def test_stop_kills_a_job_that_does_not_listen(open_jobs: OpenJobs) -> None:
    """After its grace, and no sooner."""
    jobs = open_jobs()
    await jobs.ensure(job("run-1", DEAF))
    await written(jobs, "run-1", "up")
    began = time.monotonic()
    await jobs.stop("run-1", 0.5)
    took = time.monotonic() - began

    assert (await reach(jobs, "run-1", "FAILED")).state == "FAILED"
    assert 0.5 <= took < 5


async def test_stop_takes_a_waiting_job_out_of_the_queue(open_jobs: OpenJobs) -> None:
    """It never starts; the one behind it does."""
    jobs = open_jobs()
    await jobs.ensure(job("a-1", SAVES))
    await jobs.ensure(job("b-1", "print('never')", resources=TOO_MUCH))
    await jobs.ensure(job("c-1", "print('yes')"))
    await jobs.stop("b-1", 5)
    await written(jobs, "a-1", "up")
    await jobs.stop("a-1", 5)
    await reach(jobs, "c-1", "SUCCEEDED")

    assert await jobs.get("b-1") == JobStatus("b-1", "FAILED", 143)
    assert await log(jobs, "b-1") == []


async def test_what_waits_for_room_tells_its_place(open_jobs: OpenJobs) -> None:
    """In the order in which they were asked for, where none has a higher priority; by itself and in the list."""
    jobs = open_jobs()
    await jobs.ensure(job("a-1", FOREVER))
    await written(jobs, "a-1", "up")
    for name in ("b-1", "c-1"):
        await jobs.ensure(job(name, "print('never')", resources=TOO_MUCH))
    deadline, places = time.monotonic() + 20, {}
    while places != {"b-1": [1, 1], "c-1": [2, 2]}:
        assert time.monotonic() < deadline, places
        await asyncio.sleep(0.02)
        found = [*await jobs.list(), *[await jobs.get(name) for name in ("b-1", "c-1")]]
        places = {
            name: [s.waiting.position for s in found if s and s.name == name and s.waiting] for name in ("b-1", "c-1")
        }
    await jobs.stop("a-1", 0)

    assert [s.name for s in await jobs.list()] == ["a-1", "b-1", "c-1"]


async def test_delete_stops_and_forgets(open_jobs: OpenJobs) -> None:
    """The name is free again; deleting it again does nothing."""
    jobs = open_jobs()
    await jobs.ensure(job("run-1", FOREVER))
    await written(jobs, "run-1", "up")
    await jobs.delete("run-1")
    await jobs.delete("run-1")
    gone = (await jobs.get("run-1"), await jobs.list(), await log(jobs, "run-1"))
    await jobs.ensure(job("run-1", "print('new')"))
    await reach(jobs, "run-1", "SUCCEEDED")

    assert gone == (None, [], [])
    assert await log(jobs, "run-1") == ["new"]


async def test_what_is_not_there_can_be_asked_for(open_jobs: OpenJobs) -> None:
    """None, nothing, no lines."""
    jobs = open_jobs()
    await jobs.stop("run-1", 5)

    assert await jobs.get("run-1") is None
    assert await log(jobs, "run-1") == []


async def test_another_runner_finds_the_jobs_again(open_jobs: OpenJobs) -> None:
    """One that runs goes on and can be stopped; one that waits still does; one that ended is known."""
    first = open_jobs()
    await first.ensure(job("a-1", "raise SystemExit(7)", labels={"k": "v"}))
    await reach(first, "a-1", "FAILED")
    await first.ensure(job("b-1", SAVES))
    await first.ensure(job("c-1", "print('never')", resources=TOO_MUCH))
    await written(first, "b-1", "up")
    await first.close()  # type: ignore[attr-defined]  # as at the end of a program; not part of the port
    second = open_jobs()
    found = await second.list()
    await second.stop("c-1", 10)
    await second.stop("b-1", 10)

    assert found[0] == JobStatus("a-1", "FAILED", 7, {"k": "v"})
    assert [(s.name, s.state) for s in found[1:]] == [("b-1", "RUNNING"), ("c-1", "PENDING")]
    assert await log(second, "b-1") == ["up", "saved"]
    assert (await reach(second, "b-1", "FAILED")).exit_code == 143


async def test_a_log_can_be_read_while_it_grows(open_jobs: OpenJobs) -> None:
    """Lines so far, decoded whatever they are; of a progress bar, its last state."""
    jobs = open_jobs()
    program = """
import sys, time
sys.stdout.buffer.write(b'1%\\r50%\\r100%\\n\\xff\\r\\n\\nend\\n')
sys.stdout.flush()
time.sleep(300)
"""
    await jobs.ensure(job("run-1", program))
    await written(jobs, "run-1", "end")

    assert await log(jobs, "run-1") == ["100%", "\ufffd", "", "end"]


BAD = [
    {"name": "../x"},
    {"name": "Run"},
    {"name": ""},
    {"name": "-a"},
    {"name": "a" * 64},
    {"name": "a", "secrets": {"../x": ""}},
    {"name": "a", "secrets": {".x": ""}},
    {"name": "a", "env": {"A=B": ""}},
]


@pytest.mark.parametrize("fields", BAD, ids=repr)
async def test_bad_names_are_refused(open_jobs: OpenJobs, fields: dict[str, Any]) -> None:
    """Of Jobs, of secrets and of variables; nothing is kept."""
    jobs = open_jobs()

    with pytest.raises(InvalidArgument):
        await jobs.ensure(JobSpec(args=(), **fields))
    assert await jobs.list() == []
