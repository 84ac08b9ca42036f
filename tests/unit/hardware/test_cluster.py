"""What a cluster has, what is free, and where a training would run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from services.common.errors import Unavailable
from services.common.kube.capacity import pod_requests, read_nodes
from services.common.kube.inventory import KEEP_SECONDS, ClusterNodes
from services.hardware.core_cluster import ASSUMED_MEMORY, Cluster, Rules, place, read_cluster, summary
from services.hardware.core_placement import Asked, Placement, Room
from tests.fakes.cluster_nodes import GPU_TAINT, H100, SLICED, T4, FakeLists, container, node, pod

GIB = 1 << 30
H100_MEMORY = 81559 << 20


def cluster(nodes: list[Any], pods: list[Any] = (), **rules: Any) -> Cluster:  # type: ignore[assignment]  # an empty default
    return read_cluster(read_nodes(nodes, pods), Rules(**rules))


def gpus(name: str, labels: dict[str, str], count: int, **fields: Any) -> dict[str, Any]:
    return node(name, labels, taints=[GPU_TAINT], nvidia_com__gpu=str(count), **fields)


def said(placement: Placement) -> str:
    return " ".join(placement.words)


def test_a_node_is_read_from_its_labels_and_its_status() -> None:
    """Those of GPU feature discovery, older and newer."""
    h100, t4 = cluster([gpus("t", T4, 1), gpus("h", H100, 8)]).nodes

    assert (h100.name, h100.product, h100.gpus, h100.gpus_free) == ("h", "NVIDIA-H100-80GB-HBM3", 8, 8)
    assert (h100.gpu_memory, h100.capability, h100.bf16) == (H100_MEMORY, (9, 0), True)
    assert (h100.driver, h100.cuda) == ("580.65.06", "13.0")
    assert (t4.capability, t4.bf16, t4.bitsandbytes_4bit, t4.driver, t4.cuda) == (
        (7, 5),
        False,
        True,
        "535.104.05",
        "12.2",
    )
    assert (t4.cpu, t4.memory, t4.disk) == (7910, 32584196 * 1024, 94992122878)


@pytest.mark.parametrize(
    ("described", "spec", "cpu"),
    [
        ("containers run together", {"containers": [container(cpu="500m"), container(cpu="1")]}, "1.5"),
        (
            "init containers run one after the other, before",
            {"containers": [container(cpu="1")], "initContainers": [container(cpu="3"), container(cpu="2")]},
            "3",
        ),
        (
            "sidecars run beside the containers",
            {"containers": [container(cpu="1")], "initContainers": [container("Always", cpu="2")]},
            "3",
        ),
        (
            "and beside the init containers after them",
            {
                "containers": [container(cpu="1")],
                "initContainers": [container(cpu="4"), container("Always", cpu="2"), container(cpu="3")],
            },
            "5",
        ),
        ("overhead comes on top", {"containers": [container(cpu="1")], "overhead": {"cpu": "250m"}}, "1.25"),
        (
            "what is asked for the whole pod counts instead",
            {"containers": [container(cpu="1")], "resources": {"requests": {"cpu": "4"}}, "overhead": {"cpu": "1"}},
            "5",
        ),
        ("a limit alone is a request", {"containers": [container(limits={"cpu": "2"})]}, "2"),
        ("nothing asked is nothing", {"containers": [{}]}, "0"),
    ],
)
def test_a_pods_needs_are_counted_as_the_scheduler_counts_them(described: str, spec: Any, cpu: str) -> None:
    """See the documentation of init containers and of pod overhead."""
    assert pod_requests({"spec": spec}).get("cpu", Decimal(0)) == Decimal(cpu), described


def test_what_is_free_is_what_no_living_pod_of_the_node_asks_for() -> None:
    """Pods that ended, or are bound nowhere, ask for nothing; one that is terminating still does."""
    wants = container(nvidia_com__gpu="2", cpu="1", memory="8Gi")
    pods = [
        pod("h", wants),
        pod("h", container(nvidia_com__gpu="1"), phase="Pending"),
        pod("h", wants, phase="Succeeded"),
        pod("h", wants, phase="Failed"),
        pod("", wants, phase="Pending"),
        pod("other", wants),
    ]
    (found,) = cluster([gpus("h", H100, 8)], pods).nodes

    assert (found.gpus, found.gpus_free) == (8, 5)
    assert (found.cpu_free, found.memory_free) == (6910, 32584196 * 1024 - 8 * GIB)


def test_slices_count_only_where_they_are_offered_as_gpus() -> None:
    """A slice that is a resource of its own (strategy mixed) is no GPU; a node that shrank has none below none."""
    mixed = gpus("m", H100, 0, nvidia_com__mig_1g_20gb="4")
    mixed["status"]["allocatable"]["nvidia.com/mig-1g.20gb"] = "4"
    found = cluster([mixed, gpus("s", SLICED, 4)], [pod("m", container(nvidia_com__gpu="1"))])

    assert [(n.name, n.gpus, n.gpus_free, n.gpu_memory) for n in found.nodes] == [
        ("m", 0, 0, 0),
        ("s", 4, 4, 19968 << 20),
    ]


@pytest.mark.parametrize(
    ("fields", "rules", "problem"),
    [
        ({}, {}, ""),
        ({"ready": "False"}, {}, "not ready"),
        ({"ready": "Unknown"}, {}, "not ready"),
        ({"taints": [GPU_TAINT, {"key": "team", "value": "a", "effect": "NoSchedule"}]}, {}, "taint team"),
        ({"taints": [{**GPU_TAINT, "effect": "NoExecute"}]}, {}, "taint nvidia.com/gpu"),
        ({"taints": [{"key": "team", "value": "a", "effect": "PreferNoSchedule"}]}, {}, ""),
        (
            {"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]},
            {"tolerations": ({"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"},)},
            "",
        ),
        (
            {"taints": [{"key": "team", "value": "a", "effect": "NoExecute"}]},
            {"tolerations": ({"key": "team", "value": "b"},)},
            "taint team",
        ),
        ({}, {"node_selector": {"pool": "gpu"}}, "no label pool=gpu"),
        ({}, {"node_selector": {"kubernetes.io/hostname": "h"}}, ""),
    ],
)
def test_a_node_that_takes_no_runs_says_why(fields: Any, rules: Any, problem: str) -> None:
    """It is shown, and counts for nothing."""
    made = node("h", H100, **{"taints": [GPU_TAINT], **fields}, nvidia_com__gpu="8")
    found = cluster([made], **rules)

    assert found.nodes[0].problem == problem
    assert len(found.usable) == (not problem)


def test_a_cordoned_node_takes_no_runs() -> None:
    made = gpus("h", H100, 8)
    made["spec"]["unschedulable"] = True

    assert cluster([made]).nodes[0].problem == "cordoned"


def test_a_run_is_planned_for_the_largest_gpu_that_is_free() -> None:
    """And is told what else it may get, unless it names the product."""
    found = cluster([gpus("t", T4, 4), gpus("h", H100, 8)], [pod("h", container(nvidia_com__gpu="6"))])
    one, product = place(found, Asked()), place(found, Asked(product="NVIDIA-H100-80GB-HBM3"))
    four = place(found, Asked(gpus=4))

    assert (one.device.kind, one.device.bf16, one.device.available) == ("cuda", True, int(H100_MEMORY * 0.95))
    assert said(one).startswith("Planned for a NVIDIA-H100-80GB-HBM3 (79.6 GiB): 2 of 8 free on h.")
    assert said(one).endswith("Ask for gpu_product NVIDIA-H100-80GB-HBM3, or the run may get a Tesla-T4 (15.0 GiB).")
    assert "may get" not in said(product)
    # As many are free on the smaller ones alone.
    assert said(four).startswith("Planned for 4 × Tesla-T4 (15.0 GiB): 4 of 4 free on t.")
    assert not four.device.bf16


def test_where_nothing_is_free_a_run_is_planned_for_what_it_will_get() -> None:
    """It waits; its memory does not change with that. Too many GPUs are no reason to refuse an estimate either."""
    found = cluster([gpus("h", H100, 8)], [pod("h", container(nvidia_com__gpu="8"))])
    busy, many = place(found, Asked(gpus=2)), place(found, Asked(gpus=99))

    assert busy.device.available == many.device.available == int(H100_MEMORY * 0.95)
    assert "0 of 8 are free, so the run waits" in said(busy)
    assert "no node has 99 of them, so the run waits. h has 8." in said(many)


@pytest.mark.parametrize("labels", [{}, {"nvidia.com/gpu.product": "In-House-9"}])
def test_gpus_of_unknown_memory_are_assumed_and_say_so(labels: dict[str, str]) -> None:
    """Without GPU feature discovery nothing can be said about what fits, nor that there is no bfloat16."""
    found = place(cluster([gpus("h", labels, 8)]), Asked())

    assert (found.assumed, found.device.kind, found.device.bf16, found.device.bf16_known) == (
        True,
        "cuda",
        False,
        False,
    )
    assert found.device.free == ASSUMED_MEMORY
    assert "Label the nodes" in said(found)


@pytest.mark.parametrize(
    ("product", "gigabytes", "bf16"),
    [("NVIDIA-H100-80GB-HBM3", 80, True), ("NVIDIA-L4", 24, True), ("Tesla-V100-SXM2-32GB", 32, False)],
)
def test_the_name_of_a_product_tells_what_no_label_says(product: str, gigabytes: int, bf16: bool) -> None:
    """Of a pool that begins with no node, and of a node whose only label is the product."""
    absent = place(cluster([]), Asked(gpus=1, product=product))
    labelled = place(cluster([gpus("h", {"nvidia.com/gpu.product": product}, 8)]), Asked(gpus=1))
    older = place(
        cluster([gpus("h", {"nvidia.com/gpu.product": product, "nvidia.com/gpu.compute.major": "7"}, 8)]), Asked(gpus=1)
    )

    for found in (absent, labelled):
        assert (found.assumed, found.device.product, found.device.free) == (True, product, gigabytes * 10**9)
        assert (found.device.bf16, found.device.bf16_known) == (bf16, True)
        assert "is taken from the name" in said(found)
    assert not older.device.bf16
    assert cluster([gpus("h", {"nvidia.com/gpu.product": product}, 8)]).nodes[0].bf16 == bf16


def test_a_product_that_is_not_there_is_waited_for() -> None:
    """With what there is."""
    found = place(cluster([gpus("h", H100, 8), gpus("t", T4, 2), gpus("u", T4, 1)]), Asked(product="NVIDIA-B200"))

    assert found.assumed
    assert "No node has a NVIDIA-B200 GPU now" in said(found)
    assert "There are: 8 × NVIDIA-H100-80GB-HBM3, 3 × Tesla-T4." in said(found)


def test_without_gpus_a_run_has_the_memory_that_it_asks_for() -> None:
    """Else that of the settings of Jobs, else that of the largest node."""
    nodes = [node("a", memory="8Gi"), node("b", memory="16Gi")]
    pods = [pod("b", container(memory="6Gi"))]
    asked = place(cluster(nodes), Asked(memory=4 * GIB))
    set_, largest = place(cluster(nodes, memory=2 * GIB), Asked()), place(cluster(nodes, pods), Asked())

    assert (asked.device.kind, asked.device.free) == ("cpu", 4 * GIB)
    assert set_.device.free == 2 * GIB
    assert (largest.device.available, largest.device.free) == (int(16 * GIB * 0.9), 10 * GIB)
    assert place(cluster([gpus("h", H100, 8), *nodes], gpus=1), Asked(gpus=0)).device.kind == "cpu"
    assert place(cluster([]), Asked()).assumed


def test_a_run_without_gpus_is_not_planned_where_their_taint_keeps_it_off() -> None:
    """Its pods do not tolerate the taint of nodes with GPUs, however much memory those have."""
    tainted, small = gpus("h", H100, 8, memory="2Ti"), node("a", memory="8Gi")
    found = place(cluster([tainted, small]), Asked(gpus=0))

    assert found.words == ("Planned for the CPU of a, the node with the most memory.",)
    assert place(cluster([tainted]), Asked(gpus=0)).assumed


def test_the_summary_counts_what_takes_runs() -> None:
    """One sentence for people."""
    nodes = [gpus("h", H100, 8), gpus("t", T4, 4, ready="False"), node("c")]

    assert summary(cluster(nodes, [pod("h", container(nvidia_com__gpu="3"))])) == (
        "3 nodes, 2 of which take runs: 8 × NVIDIA-H100-80GB-HBM3; 5 of 8 free"
    )
    assert summary(cluster([node("c")])) == "1 node, no GPU: training runs on CPUs"


async def test_the_cluster_is_asked_once_for_questions_at_a_time() -> None:
    """Both lists are long in a large cluster."""
    now = 0.0
    lists = FakeLists([gpus("h", H100, 8)])
    nodes = ClusterNodes(lists, lambda: now)
    await nodes.read()
    await nodes.read()
    once = len(lists.asked)
    now = KEEP_SECONDS
    lists.nodes = []

    assert once == 2
    assert await nodes.read() == []


async def test_an_answer_that_did_not_come_is_asked_for_again() -> None:
    """An error is not kept."""
    lists = FakeLists([gpus("h", H100, 8)], error=Unavailable("away"))
    nodes = ClusterNodes(lists)
    with pytest.raises(Unavailable):
        await nodes.read()
    lists.error = None

    assert [n.name for n in await nodes.read()] == ["h"]


def test_a_pod_has_the_memory_the_disk_and_the_cache_that_jobs_are_given() -> None:
    """As the settings of Jobs say, where the run asks for nothing."""
    found = place(cluster([gpus("h", H100, 8)], memory=16, disk=50, cache=40), Asked())

    assert found.room == Room(16, 16, limited=True, disk=50, cache=40)
