"""What a pod's status says: whether its program runs, how it ended, or why it does not start. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from services.common.jobs.port import Waiting
from services.common.kube.manifest import OURS
from services.common.kube.podspec import CONTAINER

Object = Mapping[str, Any]

Phase = Literal["waiting", "running", "succeeded", "failed"]

_IMAGE = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError"}
_NODE_GONE = {"DeletionByTaintManager", "DeletionByPodGC"}
_EVICTED = {"Evicted", "Preempting", "NodeShutdown", "Terminated", "Shutdown"}
_VOLUME = re.compile(r"persistentvolumeclaim|persistent volume|volume node affinity|unbound", re.IGNORECASE)
_MISSING = re.compile(r"Insufficient ([\w./-]*\w)")
_MISMATCH = re.compile(r"node affinity/selector|node selector|untolerated taint", re.IGNORECASE)
_AGAIN = {
    "run": "A run takes what is corrected in the chart's values after `ftf pause`, then `ftf resume`.",
    "export": "An export takes what is corrected in the chart's values when it begins: cancel it, and export again.",
    "chat": "What is corrected in the chart's values holds when you ask again.",
}


@dataclass(frozen=True)
class PodState:
    """What a pod's status says.

    Args:
        created: seconds since 1970.
        ended: when its program ended, 0 if it has not, or nobody knows when.
        going: it was told to go.
        lost: it was told to go, and its node does not answer.
        waiting: for one that waits, why; for one that failed, what it would be called until the next one starts.
    """

    phase: Phase
    created: float
    ended: float = 0
    exit_code: int | None = None
    oom: bool = False
    going: bool = False
    lost: bool = False
    waiting: Waiting | None = None


def seconds(text: str | None) -> float:
    """Return seconds since 1970 of an RFC 3339 time; 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def conditions(thing: Object) -> dict[str, Object]:
    """Return the conditions of an object that hold, or do not, by their type."""
    return {c["type"]: c for c in thing.get("status", {}).get("conditions") or []}


def holds(thing: Object, kind: str) -> bool:
    """Return whether a condition is there and True."""
    return bool(conditions(thing).get(kind, {}).get("status") == "True")


def again(thing: Object) -> str:
    """Return what makes corrected values reach the work of a Job or a pod, whose spec is fixed when it is made."""
    kind = (thing["metadata"].get("labels") or {}).get(f"{OURS}/kind", "")
    return _AGAIN.get(kind, "What is corrected in the chart's values reaches new Jobs only.")


def trainer(pod: Object) -> Object:
    """Return the state of the trainer's container: {"running": …}, {"terminated": …}, {"waiting": …} or {}."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    state: Object = next((c.get("state") or {} for c in statuses if c["name"] == CONTAINER), {})
    return state


def pod_state(pod: Object, events: Iterable[Object], now: float, lost_seconds: float) -> PodState:
    """Say what a pod does.

    Args:
        events: of the pod, oldest first.
        lost_seconds: how long past its grace it may take to go.
    """
    status, state = pod.get("status", {}), trainer(pod)
    created = seconds(pod["metadata"].get("creationTimestamp"))
    leave_by = seconds(pod["metadata"].get("deletionTimestamp"))
    terminated: Object = state.get("terminated") or {}
    phase = status.get("phase", "Pending")
    if phase in ("Succeeded", "Failed") or terminated:
        code = terminated.get("exitCode")
        good = phase == "Succeeded" or (phase != "Failed" and code == 0)
        return PodState(
            "succeeded" if good else "failed",
            created,
            seconds(terminated.get("finishedAt")),
            code,
            oom=terminated.get("reason") == "OOMKilled",
            going=bool(leave_by),
            waiting=None if good else _after(pod, terminated),
        )
    lost = bool(leave_by) and (now > leave_by + lost_seconds or _unreachable(pod))
    if lost or (leave_by and _node_gone(pod)):
        return PodState("waiting", created, going=True, lost=lost, waiting=node_lost(pod))
    if "running" in state:
        return PodState("running", created, going=bool(leave_by))
    return PodState("waiting", created, going=bool(leave_by), waiting=_before(pod, state, list(events)))


def node_lost(pod: Object) -> Waiting:
    """Return that the pod's node does not answer."""
    node = pod.get("spec", {}).get("nodeName") or "its node"
    return Waiting("NODE_LOST", f"Node {node} does not answer; another pod goes on from the newest checkpoint. Wait.")


def _unreachable(pod: Object) -> bool:
    ready = conditions(pod).get("Ready", {})
    gone = ("NodeLost", "Unreachable", "NodeUnreachable")
    return pod.get("status", {}).get("reason") in gone or (
        ready.get("status") != "True" and ready.get("reason") in gone
    )


def _node_gone(pod: Object) -> bool:
    """Return whether it goes because its node is silent, not because someone made it leave a node that answers."""
    found = conditions(pod)
    why = found.get("DisruptionTarget", {}).get("reason")
    return why in _NODE_GONE and found.get("Ready", {}).get("status") == "False"


def _after(pod: Object, terminated: Object) -> Waiting:
    """Say why the next pod is awaited."""
    disruption = conditions(pod).get("DisruptionTarget", {})
    why = pod.get("status", {}).get("reason", "")
    if terminated.get("reason") == "OOMKilled":
        return Waiting(
            "OOM_KILLED",
            "The trainer used more memory than its limit; another pod starts after a pause. "
            "Ask for more memory, or lower the batch size.",
        )
    if disruption.get("reason") in _NODE_GONE or why == "NodeLost":
        return node_lost(pod)
    if disruption.get("status") == "True" or why in _EVICTED:
        detail = disruption.get("message") or pod["status"].get("message") or why
        return Waiting("EVICTED", f"{_short(detail)} Another pod goes on from the newest checkpoint. Wait.")
    code = terminated.get("exitCode")
    ending = "was killed" if code is None else f"exited with {code}"
    return Waiting("CRASHED", f"The trainer {ending}; another pod starts after a pause. See its log.")


def _before(pod: Object, state: Object, events: list[Object]) -> Waiting:
    """Say why the program has not started."""
    scheduled = conditions(pod).get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return _unscheduled(scheduled, again(pod))
    waiting: Object = state.get("waiting") or {}
    why, detail = waiting.get("reason", ""), _short(waiting.get("message") or waiting.get("reason", ""))
    if why in _IMAGE:
        return Waiting(
            "IMAGE_PULL",
            f"The image cannot be pulled: {detail} Check its name and the pull secrets in the chart. {again(pod)}",
        )
    if why in _CONFIG:
        return Waiting(
            "CONFIGURATION", f"The container cannot be made: {detail} Correct the chart's values. {again(pod)}"
        )
    return _mounting(events, again(pod)) or Waiting("STARTING", "Its container is being made. Wait.")


def _unscheduled(scheduled: Object, remedy: str) -> Waiting:
    text = scheduled.get("message", "")
    if scheduled.get("reason") == "SchedulingGated":
        return Waiting("QUEUE", "Its queue has not admitted it. Wait, or ask whoever keeps the queue's quota.")
    detail = _short(re.split(r"\s*(?:no new claims to deallocate|preemption:)", text)[0] or "No node fits.")
    if _VOLUME.search(text):
        return Waiting("VOLUME", f"{detail} Check the PersistentVolumeClaims in the chart's values. {remedy}")
    missing = list(dict.fromkeys(_MISSING.findall(text)))
    if _MISMATCH.search(text) and not missing:
        return Waiting(
            "UNSCHEDULABLE",
            f"No node fits: {detail} Add such nodes, ask for another GPU product in a new run, or correct "
            f"jobs.nodeSelector or jobs.tolerations. {remedy}",
        )
    what = f"No node has enough {' and '.join(missing)} free" if missing else "No node fits"
    return Waiting("UNSCHEDULABLE", f"{what}: {detail} Ask for less, wait for other Jobs, or add nodes.")


def _mounting(events: list[Object], remedy: str) -> Waiting | None:
    """Return what the newest event says that hinders the container; None if none does."""
    for event in reversed(events):
        text = _short(event.get("message", ""))
        if event.get("reason") in ("FailedMount", "FailedAttachVolume", "FailedMapVolume"):
            if re.search(r"(?:secret|configmap) \"[^\"]+\" not found", text):
                return Waiting("CONFIGURATION", f"{text} Make it, or correct the name in the chart's values. {remedy}")
            return Waiting("VOLUME", f"{text} Check the PersistentVolumeClaims in the chart's values. {remedy}")
        if event.get("reason") == "FailedCreatePodSandBox":
            return Waiting("STARTING", f"Its container cannot be made yet: {text} Wait, or see to its node.")
    return None


def _short(text: str) -> str:
    """Return a message as one sentence of at most 500 characters."""
    text = " ".join(text.split())[:500].rstrip(" ,;")
    return text if text.endswith((".", "!", "?")) else f"{text}."
