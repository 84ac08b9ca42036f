"""What the nodes of a cluster have, and what pods leave of it: counted as the scheduler counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from services.common.errors import InvalidArgument
from services.common.jobs.quantity import parse_quantity

Object = Mapping[str, Any]
Amounts = dict[str, Decimal]

_NOT_PLACED = ("NoSchedule", "NoExecute")
_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True)
class NodeCapacity:
    """One node.

    Args:
        problem: why no pod is placed there, whatever it asks for: "not ready", "cordoned"; "" if one is.
        taints: those that keep pods off that do not tolerate them: (key, value, effect).
        allocatable: resource → what pods may have in all: cores, bytes, GPUs.
        requested: resource → what the pods that are there have asked for.
    """

    name: str
    problem: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[tuple[str, str, str], ...] = ()
    allocatable: Mapping[str, Decimal] = field(default_factory=dict)
    requested: Mapping[str, Decimal] = field(default_factory=dict)

    def total(self, resource: str) -> Decimal:
        """Return what there is of a resource."""
        return self.allocatable.get(resource, Decimal(0))

    def free(self, resource: str) -> Decimal:
        """Return what is not asked for; never below 0, though a node may have shrunk under its pods."""
        return max(Decimal(0), self.total(resource) - self.requested.get(resource, Decimal(0)))

    def keeps_off(self, tolerations: Sequence[Mapping[str, Any]], selector: Mapping[str, str]) -> str:
        """Return why a pod with these tolerations and this nodeSelector is not placed there; "" if it may be."""
        if self.problem:
            return self.problem
        for key, value in selector.items():
            if self.labels.get(key) != value:
                return f"no label {key}={value}"
        for taint in self.taints:
            if not any(_tolerates(toleration, taint) for toleration in tolerations):
                return f"taint {taint[0]}"
        return ""


def read_nodes(nodes: Iterable[Object], pods: Iterable[Object]) -> list[NodeCapacity]:
    """Return the nodes by name, with what the pods that are bound to them ask for.

    Args:
        nodes, pods: as the Kubernetes API gives them.
    """
    requested: dict[str, Amounts] = {}
    for pod in pods:
        name = (pod.get("spec") or {}).get("nodeName")
        if name and (pod.get("status") or {}).get("phase") not in _OVER:
            _add(requested.setdefault(name, {}), pod_requests(pod))
    found = [_node(node, requested) for node in nodes]
    return sorted(found, key=lambda node: node.name)


def pod_requests(pod: Object) -> Amounts:
    """Return what the scheduler sets aside for a pod.

    Containers run together, and with them the init containers that stay (restartPolicy Always); other init containers
    run before, one after the other, each beside those that stay and were started before it. The pod needs the most of
    these, and its overhead. What is asked for the pod as a whole, of CPU and memory, counts instead of that sum.
    """
    spec = pod.get("spec") or {}
    together: Amounts = {}
    for container in spec.get("containers") or []:
        _add(together, _requests(container))
    staying: Amounts = {}
    most: Amounts = {}
    for container in spec.get("initContainers") or []:
        needs = _requests(container)
        if container.get("restartPolicy") == "Always":
            _add(staying, needs)
            _add(together, needs)
            needs = dict(staying)
        else:
            _add(needs, staying)
        _raise(most, needs)
    _raise(together, most)
    together.update(_amounts((spec.get("resources") or {}).get("requests")))
    _add(together, _amounts(spec.get("overhead")))
    return together


def _node(node: Object, requested: Mapping[str, Amounts]) -> NodeCapacity:
    meta, spec, status = node.get("metadata") or {}, node.get("spec") or {}, node.get("status") or {}
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or [])
    problem = "cordoned" if spec.get("unschedulable") else ""
    name = str(meta.get("name", ""))
    return NodeCapacity(
        name=name,
        problem=problem if ready else "not ready",
        labels={str(key): str(value) for key, value in (meta.get("labels") or {}).items()},
        taints=tuple(
            (str(taint.get("key", "")), str(taint.get("value", "")), str(taint["effect"]))
            for taint in spec.get("taints") or []
            if taint.get("effect") in _NOT_PLACED
        ),
        allocatable=_amounts(status.get("allocatable")),
        requested=requested.get(name, {}),
    )


def _requests(container: Object) -> Amounts:
    """A container's requests; what only has a limit is asked for as much (the API server fills that in, too)."""
    resources = container.get("resources") or {}
    return {**_amounts(resources.get("limits")), **_amounts(resources.get("requests"))}


def _amounts(given: Mapping[str, Any] | None) -> Amounts:
    return {name: _amount(str(text)) for name, text in (given or {}).items()}


def _amount(text: str) -> Decimal:
    try:
        return parse_quantity(text)
    except InvalidArgument:
        return Decimal(0)  # "0", which no request of ours may be


def _add(to: Amounts, more: Mapping[str, Decimal]) -> None:
    for name, amount in more.items():
        to[name] = to.get(name, Decimal(0)) + amount


def _raise(to: Amounts, least: Mapping[str, Decimal]) -> None:
    for name, amount in least.items():
        to[name] = max(to.get(name, Decimal(0)), amount)


def _tolerates(toleration: Mapping[str, Any], taint: tuple[str, str, str]) -> bool:
    key, value, effect = taint
    if toleration.get("effect") not in (None, "", effect):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", key)
    return bool(toleration.get("key") == key and str(toleration.get("value", "")) == value)
