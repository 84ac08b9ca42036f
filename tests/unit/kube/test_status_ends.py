"""How a Job on Kubernetes failed, was stopped, or lost its node."""

from __future__ import annotations

import pytest

from services.common.jobs.port import JobStatus
from tests.unit.kube.test_status import (
    FAILED,
    LABELS,
    LOST_SECONDS,
    Json,
    condition,
    ended,
    job,
    pod,
    stamp,
    status,
    waiting,
)


def test_a_node_that_does_not_answer() -> None:
    """First the Job waits, then its pod has had time enough to go and the Job has failed."""
    silent = condition("Ready", "", status="False")
    told = condition("DisruptionTarget", "DeletionByTaintManager")
    going = {"running": {"startedAt": stamp(500)}}
    leaving = pod(going, silent, told, phase="Running", deleted=10)
    lost = pod(going, silent, told, phase="Running", deleted=LOST_SECONDS + 1)
    found = status(job(), lost)

    assert waiting(job(), leaving).reason == "NODE_LOST"
    assert (found.state, found.exit_code, found.reason) == ("FAILED", None, "NODE_LOST")
    assert "node-7" in found.message
    assert status(job(), pod(going, phase="Running", deleted=10, reason="NodeLost")).reason == "NODE_LOST"


def test_a_pod_that_is_only_slow_to_go_is_not_lost() -> None:
    """A taint that somebody set makes it go, and its node answers."""
    ready = condition("Ready")
    told = condition("DisruptionTarget", "DeletionByTaintManager")
    leaving = pod({"running": {}}, ready, told, phase="Running", deleted=-30)

    assert status(job(), leaving).state == "RUNNING"


@pytest.mark.parametrize(("why", "message", "last", "expected"), FAILED)
def test_how_a_job_failed(why: str, message: str, last: Json | None, expected: tuple[int | None, str]) -> None:
    """By its program's exit, or by what else."""
    found = status(job(condition("Failed", why, message)), *([last] if last else []))

    assert found.state == "FAILED"
    assert (found.exit_code, found.reason) == expected
    assert bool(found.message) == (
        bool(expected[1]) or (last is None and why == "BackoffLimitExceeded" and bool(message))
    )


def test_of_several_nodes_the_one_that_failed_counts() -> None:
    """Not those that were told to go because of it."""
    failed = job(condition("Failed", "BackoffLimitExceeded"), parallelism=2)
    found = status(failed, ended(1, ago=9, name="a"), ended(143, ago=1, name="b", deleted=1))

    assert found.exit_code == 1


def test_a_job_that_was_stopped_ended_as_its_program_did() -> None:
    """Or with 143, where nobody saw that; earlier pods do not count."""
    stopped = job(condition("Failed", "DeadlineExceeded"), annotations={"finetuneflow.dev/stopped": "true"})

    assert status(stopped, ended(1, name="old")) == JobStatus("run-abc-1", "FAILED", 143, LABELS)
    assert status(stopped, ended(137, deleted=1)) == JobStatus("run-abc-1", "FAILED", 137, LABELS)
