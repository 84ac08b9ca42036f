"""The inventory of a real API server: nodes, GPUs, and what the scheduler has given away."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.kube.api import KubeApi
from services.common.kube.inventory import ClusterNodes
from services.hardware.core_cluster import Cluster, Node, Rules, place, read_cluster
from services.hardware.core_placement import Asked
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until

pytestmark = pytest.mark.cluster

TOLERATES = [{"key": "nvidia.com/gpu", "operator": "Exists"}]


async def look(bed: Bed) -> Cluster:
    """Read the cluster now."""
    return read_cluster(await ClusterNodes(KubeApi(bed.api, "")).read(), Rules())


async def seen(bed: Bed, name: str) -> Node:
    """Return one node."""
    return next(node for node in (await look(bed)).nodes if node.name == name)


def pod(name: str, gpus: int, **more: Any) -> dict[str, Any]:
    """A pod that asks for GPUs, with an init container that asks for more CPU and as much memory."""
    container = {
        "name": "main",
        "image": "nothing/never:1",
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": str(gpus)}},
    }
    first = {"name": "first", "image": "nothing/never:1", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}
    spec = {"tolerations": TOLERATES, "containers": [container], "initContainers": [first], **more}
    return {"metadata": {"name": name}, "spec": spec}


async def test_what_is_free_follows_the_scheduler(bed: Bed) -> None:
    """Bound pods take GPUs, CPU and memory; one that finds no place takes none; a pod that goes gives back."""
    namespace = await bed.namespace(enforce="")
    capability = {"nvidia.com/gpu.compute.major": "8", "nvidia.com/gpu.compute.minor": "0"}
    async with bed.kubelet(gpus=2, gpu_product="NVIDIA-A100-SXM4-80GB", labels=capability) as node:
        before = await seen(bed, node.name)
        await bed.raw.create("pods", namespace, pod("one", 1))
        await bed.raw.create("pods", namespace, pod("many", 2))

        async def taken(free: int) -> bool:
            return (await seen(bed, node.name)).gpus_free == free

        await until(lambda: taken(1), "one GPU is taken", 20)
        during = await seen(bed, node.name)
        placement = place(await look(bed), Asked(gpus=1))
        await bed.raw.delete("pods", namespace, "one", gracePeriodSeconds=0)
        await until(lambda: taken(0), "the pod that waited has its GPUs", 20)

    assert (before.product, before.gpus, before.gpus_free) == ("NVIDIA-A100-SXM4-80GB", 2, 2)
    assert before.gpu_memory == 81920 << 20
    assert (before.problem, before.bf16) == ("", True)
    assert (before.cpu_free - during.cpu_free, before.memory_free - during.memory_free) == (3000, 1 << 30)
    assert placement.device.kind == "cuda"
    assert "1 of 2 free" in placement.words[0]


async def test_a_node_that_is_cordoned_or_gone_takes_no_runs(bed: Bed) -> None:
    """It is shown with why."""
    async with bed.kubelet(gpus=1) as node:
        await bed.raw.patch("nodes", "", node.name, {"spec": {"unschedulable": True}})

        async def cordoned() -> bool:
            return (await seen(bed, node.name)).problem == "cordoned"

        await until(cordoned, "the node is cordoned", 20)
        found = await look(bed)

    assert node.name not in [n.name for n in found.usable]
