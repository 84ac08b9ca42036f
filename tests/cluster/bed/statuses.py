"""What the kubelet writes into a pod's status, from what it knows of the containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Json = dict[str, Any]
Phase = Literal["Pending", "Running", "Succeeded", "Failed"]


def stamp() -> str:
    """Return the time as Kubernetes writes it in objects."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class ContainerState:
    """One container. `state` and `last` are a ContainerState of the API: {"waiting": …}, {"running": …}, …"""

    name: str
    image: str
    state: Json = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Json = field(default_factory=dict)
    restarts: int = 0
    started: bool = False
    ready: bool = False

    @property
    def exit_code(self) -> int | None:
        """How it ended, None if it has not."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    def running(self) -> None:
        """It has started."""
        self.state = {"running": {"startedAt": stamp()}}

    def waiting(self, reason: str, message: str = "") -> bool:
        """It does not run; returns whether that is new."""
        state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        changed = self.state != state
        self.state = state
        return changed

    def terminated(self, code: int, reason: str, message: str = "") -> None:
        """It has ended."""
        begun = self.state.get("running", {}).get("startedAt", stamp())
        ended = {"exitCode": code, "reason": reason, "startedAt": begun, "finishedAt": stamp()}
        self.state = {"terminated": ended | ({"message": message} if message else {})}
        self.started = self.ready = False

    def json(self, uid: str) -> Json:
        """Return the ContainerStatus."""
        status = {
            "name": self.name, "image": self.image, "imageID": f"bed://{self.image}", "ready": self.ready,
            "restartCount": self.restarts, "started": self.started, "state": self.state,
        }  # fmt: skip
        if "waiting" not in self.state or self.last:
            status["containerID"] = f"bed://{uid}/{self.name}/{self.restarts}"
        return status | ({"lastState": self.last} if self.last else {})


@dataclass
class PodState:
    """A pod as the kubelet knows it."""

    pod: Json
    ip: str
    node_ip: str
    init: list[ContainerState]
    main: list[ContainerState]
    begun: str = field(default_factory=stamp)
    ended: bool = False  # Its containers were ended for good: it is deleted, evicted or late.
    reason: str = ""
    message: str = ""
    conditions: dict[str, Json] = field(default_factory=dict)

    @property
    def phase(self) -> Phase:
        """Where in its life the pod is."""
        if self.reason:
            return "Failed"
        codes = [container.exit_code for container in self.main]
        failed_init = [c for c in self.init if c.exit_code and (self.ended or self.policy == "Never")]
        if failed_init:
            return "Failed"
        over = all(code is not None for code in codes) or self.ended
        if over and (self.ended or self.policy == "Never" or (self.policy == "OnFailure" and not any(codes))):
            return "Succeeded" if all(code == 0 for code in codes) else "Failed"
        begun = any("waiting" not in c.state or c.restarts for c in self.main)
        return "Running" if begun else "Pending"

    @property
    def policy(self) -> str:
        """The pod's restartPolicy."""
        return str(self.pod["spec"].get("restartPolicy", "Always"))

    @property
    def ready(self) -> bool:
        """Whether every container is."""
        return not self.ended and all(container.ready for container in self.main)

    def json(self) -> Json:
        """Return the PodStatus."""
        uid = str(self.pod["metadata"]["uid"])
        phase = self.phase
        over = phase in ("Succeeded", "Failed")
        initialized = all(container.exit_code == 0 for container in self.init)
        reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
        self._condition("PodReadyToStartContainers", not over, "")
        self._condition("Initialized", initialized, "" if initialized else "ContainersNotInitialized")
        self._condition("ContainersReady", self.ready and not over, reason)
        self._condition("Ready", self.ready and not over, reason)
        status = {
            "phase": phase, "startTime": self.begun, "hostIP": self.node_ip, "hostIPs": [{"ip": self.node_ip}],
            "podIP": self.ip, "podIPs": [{"ip": self.ip}], "conditions": list(self.conditions.values()),
            "containerStatuses": [container.json(uid) for container in self.main],
        }  # fmt: skip
        if self.init:
            status["initContainerStatuses"] = [container.json(uid) for container in self.init]
        return status | {k: v for k, v in (("reason", self.reason), ("message", self.message)) if v}

    def _condition(self, kind: str, holds: bool, reason: str) -> None:
        status = str(holds)
        before = self.conditions.get(kind, {})
        since = before["lastTransitionTime"] if before.get("status") == status else stamp()
        why = None if holds or not reason else reason
        self.conditions[kind] = {
            "type": kind, "status": status, "lastTransitionTime": since, "reason": why, "message": None,
            "lastProbeTime": None,
        }  # fmt: skip

    def disrupted(self, reason: str, message: str) -> None:
        """Note that the node, not the pod, is why it ends."""
        self.conditions["DisruptionTarget"] = {
            "type": "DisruptionTarget", "status": "True", "lastTransitionTime": stamp(), "reason": reason,
            "message": message,
        }  # fmt: skip
