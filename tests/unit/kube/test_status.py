"""What the API says of a Job and its pods, and what we make of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from services.common.jobs.port import JobStatus, Waiting
from services.common.kube.status import job_status, unexplained

NOW = 1_800_000_000.0
LOST_SECONDS = 60.0
KIND = "finetuneflow.dev/kind"
LABELS = {"kind": "run", "uid": "abc", "work": "projects/p/runs/r"}
Json = dict[str, Any]


def stamp(ago: float) -> str:
    return datetime.fromtimestamp(NOW - ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, reason: str = "", message: str = "", status: str = "True", ago: float = 20) -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": stamp(ago)}


def job(*conditions: Json, ago: float = 60, annotations: dict[str, str] | None = None, **spec: Any) -> Json:
    notes = {"finetuneflow.dev/labels": json.dumps(LABELS), **(annotations or {})}
    meta = {"name": "run-abc-1", "uid": "j1", "creationTimestamp": stamp(ago)}
    return {
        "metadata": {**meta, "annotations": notes, "labels": {KIND: "run"}},
        "spec": {"parallelism": 1, "completions": 1, **spec},
        "status": {"conditions": list(conditions), "startTime": stamp(ago)},
    }


def pod(
    state: Json | None = None,
    *conditions: Json,
    phase: str = "Pending",
    ago: float = 30,
    deleted: float | None = None,
    name: str = "run-abc-1-x",
    owner: str = "j1",
    **status: str,
) -> Json:
    """Return a pod; deleted is for how many seconds it should have been gone."""
    meta: Json = {
        "name": name,
        "uid": f"uid-{name}",
        "creationTimestamp": stamp(ago),
        "labels": {KIND: "run"},
        "ownerReferences": [{"uid": owner}],
    }
    if deleted is not None:
        meta["deletionTimestamp"] = stamp(deleted)
    containers = [{"name": "trainer", "state": state}] if state is not None else []
    placed = () if any(c["type"] == "PodScheduled" for c in conditions) else (condition("PodScheduled"),)
    return {
        "metadata": meta,
        "spec": {"nodeName": "node-7"},
        "status": {"phase": phase, "conditions": [*placed, *conditions], "containerStatuses": containers, **status},
    }


def ended(code: int, reason: str = "Error", ago: float = 5, **more: Any) -> Json:
    phase = "Succeeded" if code == 0 else "Failed"
    conditions = more.pop("conditions", ())
    return pod(
        {"terminated": {"exitCode": code, "reason": reason, "finishedAt": stamp(ago)}}, *conditions, phase=phase, **more
    )


def running(**more: Any) -> Json:
    return pod({"running": {"startedAt": stamp(20)}}, phase="Running", **more)


def event(reason: str, message: str, of: str = "j1", ago: float = 5) -> Json:
    return {"reason": reason, "message": message, "involvedObject": {"uid": of}, "lastTimestamp": stamp(ago)}


def status(made: Json, *pods: Json, events: tuple[Json, ...] = ()) -> JobStatus:
    return job_status(made, pods, events, NOW, LOST_SECONDS)


def waiting(made: Json, *pods: Json, events: tuple[Json, ...] = ()) -> Waiting:
    found = status(made, *pods, events=events)
    assert found.state == "PENDING"
    assert found.waiting is not None
    return found.waiting


def test_a_job_that_completed_succeeded() -> None:
    """With the spec's labels, as given."""
    assert status(job(condition("Complete")), ended(0)) == JobStatus("run-abc-1", "SUCCEEDED", 0, LABELS)


def test_a_program_that_runs_is_a_job_that_runs() -> None:
    """Also while it saves before it goes, and between its end and the Job's."""
    runs = JobStatus("run-abc-1", "RUNNING", None, LABELS)

    assert status(job(), running()) == runs
    assert status(job(), running(deleted=-20)) == runs
    assert status(job(), ended(1, name="old", ago=30), running()) == runs
    assert status(job(), ended(0)) == runs
    assert status(job(condition("FailureTarget", "BackoffLimitExceeded")), ended(1)) == runs


def test_pods_of_an_earlier_job_of_the_name_are_not_its_own() -> None:
    """They may still be on their way out."""
    assert waiting(job(), running(owner="j0")).reason == "STARTING"


def test_a_job_in_a_queue_waits_for_it() -> None:
    """Kueue's, by its name; or for whoever suspended it."""
    queued = job(suspend=True)
    queued["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team"}

    assert waiting(queued).reason == "QUEUE"
    assert "queue team" in waiting(queued).message
    assert "Resume it" in waiting(job(suspend=True)).message


def test_a_job_that_was_stopped_in_its_queue_has_ended() -> None:
    """Though Kubernetes would still start it."""
    made = job(suspend=True, annotations={"finetuneflow.dev/stopped": "true"})

    assert status(made) == JobStatus("run-abc-1", "FAILED", 143, LABELS)


def test_between_pods_the_last_one_says_why() -> None:
    """The newest of those that ended."""
    oom = ended(137, "OOMKilled", ago=3, name="b")
    disrupted = condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting")
    gone = condition("DisruptionTarget", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
    evicted = pod(None, phase="Failed", reason="Evicted", message="The node was low on resource: memory")

    assert waiting(job(), ended(1, ago=9, name="a"), oom).reason == "OOM_KILLED"
    assert waiting(job(), ended(1, ago=1, name="c"), oom).reason == "CRASHED"
    assert "exited with 1" in waiting(job(), ended(1)).message
    assert waiting(job(), ended(143, conditions=(disrupted,))).reason == "EVICTED"
    assert waiting(job(), ended(137, conditions=(gone,))).reason == "NODE_LOST"
    assert waiting(job(), evicted).reason == "EVICTED"
    assert "low on resource: memory" in waiting(job(), evicted).message


FAILED = [
    ("BackoffLimitExceeded", "Job has reached the specified backoff limit", ended(1), (1, "")),
    ("BackoffLimitExceeded", "", ended(137, "OOMKilled"), (137, "OOM_KILLED")),
    ("PodFailurePolicy", "Container trainer for pod ns/x failed with exit code 3 matching FailJob rule", None, (3, "")),
    ("DeadlineExceeded", "Job was active longer than specified deadline", ended(143), (143, "DEADLINE_EXCEEDED")),
    ("DeadlineExceeded", "", None, (None, "DEADLINE_EXCEEDED")),
    ("BackoffLimitExceeded", "", None, (None, "")),
]


def test_several_nodes_run_when_all_do() -> None:
    """Until then the Job waits for the one that has something to say; one may end before the other."""
    two = job(parallelism=2)
    full = pod(None, condition("PodScheduled", "Unschedulable", "1 Insufficient cpu", "False"), name="b")

    assert waiting(two, running(name="a"), full).reason == "UNSCHEDULABLE"
    assert status(two, running(name="a"), running(name="b")).state == "RUNNING"
    assert status(two, ended(0, name="a"), running(name="b")).state == "RUNNING"
    assert waiting(two, running(name="a"), ended(1, name="b")).reason == "CRASHED"


def test_events_are_asked_for_only_where_they_may_explain_something() -> None:
    """After three seconds without a pod, or of a pod without a container."""
    creating = pod({"waiting": {"reason": "ContainerCreating"}})
    unscheduled = pod(None, condition("PodScheduled", "Unschedulable", "no", "False"))

    assert unexplained(job(), [], NOW) == ["run-abc-1"]
    assert unexplained(job(ago=2), [], NOW) == []
    assert unexplained(job(condition("Failed")), [], NOW) == []
    assert unexplained(job(suspend=True), [], NOW) == []
    assert unexplained(job(), [creating], NOW) == ["run-abc-1-x"]
    assert unexplained(job(), [unscheduled], NOW) == []
    assert unexplained(job(), [running()], NOW) == []


def test_an_annotation_that_somebody_spoilt_does_no_harm() -> None:
    """The Job then has no labels of ours."""
    made = job(annotations={"finetuneflow.dev/labels": "{"})

    assert status(made, running()).labels == {}
