"""What Jobs as processes leave in their folders: scratch, secrets, half-made ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.common.errors import Unavailable
from services.common.jobs.port import JobSpec
from services.common.jobs.process import ProcessJobs
from tests.unit.common.test_process_jobs import ended, first_line


async def test_secrets_go_when_the_job_has_ended(tmp_path: Path, open_jobs: Callable[..., ProcessJobs]) -> None:
    """They were never in the spec that is kept."""
    jobs = open_jobs()
    await jobs.ensure(JobSpec("run-1", ("print(1)",), secrets={"launch_token": "s3cret"}))
    await ended(jobs, "run-1")

    kept = "".join(p.read_text() for p in (tmp_path / "jobs").rglob("*") if p.is_file())
    assert "s3cret" not in kept
    assert not (tmp_path / "jobs/run-1/secrets").exists()


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


async def test_a_jobs_secrets_are_its_users_alone(open_jobs: Callable[..., ProcessJobs]) -> None:
    """Not its group's either."""
    jobs = open_jobs()
    program = "import os, pathlib; p = pathlib.Path(os.environ['FTF_SECRETS_DIR'], 't'); print(oct(p.stat().st_mode))"
    await jobs.ensure(JobSpec("run-1", (program,), secrets={"t": "s3cret"}))

    assert await first_line(jobs, "run-1") == "0o100600"


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
