"""From a Job, its pods and their events to what the port calls its status. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.common.jobs.port import JobStatus, Waiting
from services.common.kube.manifest import LABELS_ANNOTATION, ORDER_ANNOTATION, QUEUE_LABEL, STOPPED_ANNOTATION
from services.common.kube.podstate import PodState, again, conditions, holds, pod_state, seconds, trainer

Object = Mapping[str, Any]

EXIT_STOPPED = 143
_EVENTS_AFTER = 3.0
"""Seconds without a pod, or without a container, after which events are asked for the reason."""
_NO_CLASS = re.compile(r"no PriorityClass with name (\S+) was found")
_CODE = re.compile(r"failed with exit code (\d+)")


def job_status(
    job: Object, pods: Iterable[Object], events: Iterable[Object], now: float, lost_seconds: float
) -> JobStatus:
    """Return how a Job is doing.

    Args:
        pods: those of this Job; others are passed over.
        events: of the Job and its pods.
        now: seconds since 1970.
        lost_seconds: how long past its grace a pod may take to go before its node counts as lost.
    """
    name, labels = job["metadata"]["name"], job_labels(job)
    if holds(job, "Complete"):
        return JobStatus(name, "SUCCEEDED", 0, labels)
    told = sorted(events, key=_event_time)
    states = [pod_state(pod, _of(pod, told), now, lost_seconds) for pod in own_pods(job, pods)]
    if holds(job, "Failed"):
        code, reason, message = _failure(job, states)
        return JobStatus(name, "FAILED", code, labels, reason=reason, message=message)
    held = suspended(job) or not job.get("spec", {}).get("parallelism", 1)
    if held and stopped(job) and not any(s.phase in ("running", "waiting") for s in states):
        return JobStatus(name, "FAILED", EXIT_STOPPED, labels)
    if lost := next((s.waiting for s in states if s.lost), None):
        return JobStatus(name, "FAILED", None, labels, reason="NODE_LOST", message=lost.message)
    waiting = _waiting(job, states, told)
    return JobStatus(name, "PENDING" if waiting else "RUNNING", None, labels, waiting)


def own_pods(job: Object, pods: Iterable[Object]) -> list[Object]:
    """Return the Job's pods, oldest first; not those of an earlier Job of the same name."""
    uid = job["metadata"]["uid"]
    own = [p for p in pods if any(o.get("uid") == uid for o in p["metadata"].get("ownerReferences") or [])]
    return sorted(own, key=age)


def age(thing: Object) -> tuple[str, str, str]:
    """Return what sorts objects by when they were asked for."""
    meta = thing["metadata"]
    return (
        meta.get("creationTimestamp") or "",
        (meta.get("annotations") or {}).get(ORDER_ANNOTATION, ""),
        meta["name"],
    )


def job_labels(job: Object) -> dict[str, str]:
    """Return the labels of the spec that the Job was made from."""
    text = (job["metadata"].get("annotations") or {}).get(LABELS_ANNOTATION, "{}")
    try:
        found = json.loads(text)
    except ValueError:  # somebody's hand
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def stopped(job: Object) -> bool:
    """Return whether we were asked to stop it."""
    return (job["metadata"].get("annotations") or {}).get(STOPPED_ANNOTATION) == "true"


def suspended(job: Object) -> bool:
    """Return whether it waits for somebody to let it start."""
    return bool(job.get("spec", {}).get("suspend"))


def over(job: Object) -> bool:
    """Return whether Kubernetes has done with it: nothing of it runs or will."""
    return holds(job, "Complete") or holds(job, "Failed")


def unexplained(job: Object, pods: Sequence[Object], now: float) -> list[str]:
    """Return the names of the objects whose events may say why the Job does not run."""
    if over(job) or suspended(job):
        return []
    own = own_pods(job, pods)
    if not own:
        since = seconds(job.get("status", {}).get("startTime") or job["metadata"].get("creationTimestamp"))
        return [job["metadata"]["name"]] if now - since >= _EVENTS_AFTER else []
    return [
        pod["metadata"]["name"]
        for pod in own
        if pod.get("status", {}).get("phase") == "Pending"
        and holds(pod, "PodScheduled")
        and "running" not in trainer(pod)
        and now - seconds(conditions(pod)["PodScheduled"].get("lastTransitionTime")) >= _EVENTS_AFTER
    ]


def _of(pod: Object, events: Iterable[Object]) -> list[Object]:
    return [e for e in events if e.get("involvedObject", {}).get("uid") == pod["metadata"]["uid"]]


def _event_time(event: Object) -> float:
    series: Object = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return seconds(next(filter(None, times), None))


def _waiting(job: Object, states: Sequence[PodState], events: Sequence[Object]) -> Waiting | None:
    """Return why a Job that has not ended is not running; None if it is."""
    if suspended(job):
        queue = job["metadata"].get("labels", {}).get(QUEUE_LABEL)
        if not queue:
            return Waiting("QUEUE", "Its Job is suspended. Resume it, or cancel the work.")
        return Waiting("QUEUE", f"The queue {queue} has not admitted it. Wait, or ask whoever keeps the queue's quota.")
    at_work = sum(s.phase in ("running", "succeeded") for s in states)
    if at_work >= job.get("spec", {}).get("parallelism", 1) or holds(job, "FailureTarget"):
        return None
    held = [s.waiting for s in states if s.phase == "waiting" and s.waiting and not s.going]
    going = [s.waiting for s in states if s.phase == "waiting" and s.waiting and s.going]
    failed = [s.waiting for s in sorted(states, key=lambda s: s.ended) if s.phase == "failed" and s.waiting]
    if held:
        # Of several pods that wait, one that is merely being made explains nothing.
        return next((w for w in held if w.reason != "STARTING"), held[0])
    return _uncreated(job, events) or (going or failed[-1:] or [Waiting("STARTING", "Its pod is being made. Wait.")])[0]


def _uncreated(job: Object, events: Sequence[Object]) -> Waiting | None:
    """Return why the Job controller cannot make a pod; None if it can."""
    uid = job["metadata"]["uid"]
    mine = [e for e in events if e.get("involvedObject", {}).get("uid") == uid]
    if not mine or mine[-1].get("reason") != "FailedCreate":
        return None
    text = " ".join(mine[-1].get("message", "").split())[:500].rstrip(".")
    if "exceeded quota" in text:
        return Waiting("QUOTA", f"{text}. Wait for other Jobs, ask for less, or raise the quota.")
    if unknown := _NO_CLASS.search(text):
        return Waiting(
            "ADMISSION",
            f"{text}. Make the PriorityClass {unknown[1]}. Where the run named it (--priority-class), start another "
            f"run; otherwise correct jobs.priorityClassName or jobs.priorities. {again(job)}",
        )
    return Waiting("ADMISSION", f"{text}. Change the chart's values or the rule. {again(job)}")


def _failure(job: Object, states: Sequence[PodState]) -> tuple[int | None, str, str]:
    """Return exit code, reason and message of a Job that failed."""
    condition = conditions(job)["Failed"]
    why, text = condition.get("reason", ""), condition.get("message", "")
    failed = sorted((s for s in states if s.phase == "failed"), key=lambda s: (s.ended, s.created))
    # Pods that were told to go ended because of another's failure.
    stayed = [s for s in failed if not s.going] or failed
    last = stayed[-1] if stayed else None
    if why == "DeadlineExceeded" and stopped(job):
        ended = [s.exit_code for s in failed if s.going and s.exit_code is not None]
        return (ended[-1] if ended else EXIT_STOPPED), "", ""
    if why == "DeadlineExceeded":
        limit = job.get("spec", {}).get("activeDeadlineSeconds")
        message = f"The Job ran longer than {limit} seconds. Allow more time; checkpoints are kept."
        return (failed[-1].exit_code if failed else None), "DEADLINE_EXCEEDED", message
    named = _CODE.search(text) if why == "PodFailurePolicy" else None
    if named:
        return int(named[1]), "", ""
    if last is None:
        return None, "", text
    if last.oom:
        message = "The trainer used more memory than its limit. Ask for more memory, or lower the batch size."
        return last.exit_code, "OOM_KILLED", message
    if last.waiting and last.waiting.reason in ("EVICTED", "NODE_LOST"):
        return last.exit_code, last.waiting.reason, last.waiting.message
    return last.exit_code, "", ""
