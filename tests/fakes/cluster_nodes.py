"""Nodes and pods as the Kubernetes API gives them, with the labels of GPU feature discovery."""

from __future__ import annotations

from typing import Any

H100 = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
    "nvidia.com/cuda.driver-version.full": "580.65.06",
    "nvidia.com/cuda.runtime-version.full": "13.0",
    "nvidia.com/mig.capable": "true",
    "nvidia.com/mig.strategy": "mixed",
}
T4 = {
    "nvidia.com/gpu.product": "Tesla-T4",
    "nvidia.com/gpu.memory": "15360",
    "nvidia.com/gpu.compute.major": "7",
    "nvidia.com/gpu.compute.minor": "5",
    "nvidia.com/cuda.driver.major": "535",
    "nvidia.com/cuda.driver.minor": "104",
    "nvidia.com/cuda.driver.rev": "05",
    "nvidia.com/cuda.runtime.major": "12",
    "nvidia.com/cuda.runtime.minor": "2",
}
# A quarter of each GPU of a node is offered as a whole one (strategy single): product and memory are the slice's.
SLICED = {**H100, "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.20gb", "nvidia.com/gpu.memory": "19968"}
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def node(
    name: str, labels: dict[str, str] | None = None, *, ready: str = "True", taints: Any = (), **allocatable: str
) -> dict[str, Any]:
    """A node; names of resources have __ for /, _ for . and -: nvidia_com__gpu, ephemeral_storage."""
    given = {"cpu": "7910m", "memory": "32584196Ki", "pods": "110", "ephemeral-storage": "94992122878", **allocatable}
    resources = {resource_name(key): value for key, value in given.items()}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": list(taints)} if taints else {},
        "status": {
            "allocatable": resources,
            "capacity": resources,
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
        },
    }


def resource_name(key: str) -> str:
    """Return a resource's name from a keyword."""
    domain, slash, rest = key.rpartition("__")
    return f"{domain.replace('_', '.')}/{rest.replace('_', '-')}" if slash else key.replace("_", "-")


def container(restart: str = "", limits: dict[str, str] | None = None, **requests: str) -> dict[str, Any]:
    """A container that asks for something."""
    found: dict[str, Any] = {"resources": {"requests": {resource_name(k): v for k, v in requests.items()}}}
    if limits:
        found["resources"]["limits"] = {resource_name(k): v for k, v in limits.items()}
    if restart:
        found["restartPolicy"] = restart
    return found


def pod(on: str, *containers: dict[str, Any], phase: str = "Running", **spec: Any) -> dict[str, Any]:
    """A pod that is bound to a node; "" for none."""
    bound = {"nodeName": on} if on else {}
    return {"spec": {**bound, "containers": list(containers), **spec}, "status": {"phase": phase}}


class FakeLists:
    """The Kubernetes API's two lists.

    Args:
        error: raised instead of an answer.
    """

    def __init__(self, nodes: list[Any], pods: list[Any] = (), error: Exception | None = None) -> None:  # type: ignore[assignment]  # an empty default
        self.nodes = nodes
        self.pods = list(pods)
        self.error = error
        self.asked: list[str] = []

    async def get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        self.asked.append(path)
        if self.error:
            raise self.error
        return {"items": self.nodes if path.endswith("nodes") else self.pods}
