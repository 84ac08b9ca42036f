"""What a cluster has to train on, and where in it a training would run: plain facts, however they were read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.common.gpunames import has_bf16, memory_of
from services.common.kube.capacity import NodeCapacity
from services.common.numerals import gib
from services.hardware.core_calibration import ANY_CPU
from services.hardware.core_inventory import BF16_SINCE, BITSANDBYTES_4BIT_SINCE
from services.hardware.core_placement import Asked, Placement, Room, on_cpu, on_gpu

ASSUMED_MEMORY = 16 << 30
"""Of a GPU that nothing is known of: what most of those in use have at least."""

_LABELS = "nvidia.com/"
_MIB = 1 << 20


@dataclass(frozen=True)
class Rules:
    """How the pods of runs are made; see the settings of Jobs.

    Args:
        gpus: that a run gets on each node when it does not say; None: one where there are any.
        memory: main memory in bytes that a run gets when it does not say; 0 for as much as there is.
        disk: of its own on each node in bytes, that it gets when it does not say; 0 for as much as there is.
        shared_cache: whether what comes from hubs is kept on a volume that runs share, not on their own disks.
        cache: most bytes of a cache of a pod's own; 0 for as much as its disk has.
    """

    gpu_resource: str = "nvidia.com/gpu"
    product_label: str = "nvidia.com/gpu.product"
    tolerations: tuple[Mapping[str, Any], ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    gpus: int | None = None
    memory: int = 0
    disk: int = 0
    shared_cache: bool = False
    cache: int = 0


@dataclass(frozen=True)
class Node:
    """One node, as runs see it. Memory and disk in bytes, CPU in thousandths of a core.

    Args:
        problem: why no run is placed there; "" if it may be.
        cpu_problem: why no run without GPUs is placed there, such as the taint of nodes with GPUs; "" if it may be.
        gpus: that runs may have; `gpus_free` are not asked for by any pod.
        gpu_memory: of each GPU; 0 if no label says it.
        capability: CUDA compute capability; (0, 0) if no label says it.
    """

    name: str
    problem: str = ""
    cpu_problem: str = ""
    product: str = ""
    gpus: int = 0
    gpus_free: int = 0
    gpu_memory: int = 0
    capability: tuple[int, int] = (0, 0)
    driver: str = ""
    cuda: str = ""
    cpu: int = 0
    cpu_free: int = 0
    memory: int = 0
    memory_free: int = 0
    disk: int = 0
    disk_free: int = 0

    @property
    def bf16(self) -> bool:
        return self.capability >= BF16_SINCE if any(self.capability) else bool(has_bf16(self.product))

    @property
    def bitsandbytes_4bit(self) -> bool:
        return self.capability >= BITSANDBYTES_4BIT_SINCE


@dataclass(frozen=True)
class Cluster:
    """The nodes by name, and how runs are placed on them."""

    nodes: tuple[Node, ...]
    rules: Rules = Rules()

    @property
    def usable(self) -> tuple[Node, ...]:
        """The nodes that take runs."""
        return tuple(node for node in self.nodes if not node.problem)

    @property
    def default_gpus(self) -> int:
        """GPUs that a run gets when it does not say."""
        return int(any(node.gpus for node in self.usable)) if self.rules.gpus is None else self.rules.gpus


def read_cluster(nodes: Iterable[NodeCapacity], rules: Rules) -> Cluster:
    """Return what the nodes mean for training."""
    return Cluster(tuple(_node(node, rules) for node in nodes), rules)


def _node(node: NodeCapacity, rules: Rules) -> Node:
    gpus = int(node.total(rules.gpu_resource))
    # As runs are made: one with GPUs tolerates the taint that keeps others off the nodes that have them.
    gpu: Mapping[str, Any] = {"key": rules.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}
    own = [gpu] if gpus else []
    return Node(
        name=node.name,
        problem=node.keeps_off([*own, *rules.tolerations], rules.node_selector),
        cpu_problem=node.keeps_off(rules.tolerations, rules.node_selector),
        product=node.labels.get(rules.product_label, "") if gpus else "",
        gpus=gpus,
        gpus_free=int(node.free(rules.gpu_resource)),
        gpu_memory=_number(node.labels, "gpu.memory") * _MIB if gpus else 0,
        capability=(_number(node.labels, "gpu.compute.major"), _number(node.labels, "gpu.compute.minor")),
        driver=_version(node.labels, "cuda.driver-version.full", "cuda.driver", ("major", "minor", "rev")),
        cuda=_version(node.labels, "cuda.runtime-version.full", "cuda.runtime", ("major", "minor")),
        cpu=int(node.total("cpu") * 1000),
        cpu_free=int(node.free("cpu") * 1000),
        memory=int(node.total("memory")),
        memory_free=int(node.free("memory")),
        disk=int(node.total("ephemeral-storage")),
        disk_free=int(node.free("ephemeral-storage")),
    )


def _number(labels: Mapping[str, str], name: str) -> int:
    text = labels.get(_LABELS + name, "")
    return int(text) if re.fullmatch(r"\d{1,9}", text) else 0


def _version(labels: Mapping[str, str], full: str, stem: str, parts: Sequence[str]) -> str:
    """Newer GPU feature discovery writes a version in one label, older in one for each part."""
    if text := labels.get(_LABELS + full):
        return text
    found = [labels.get(f"{_LABELS}{stem}.{part}", "") for part in parts]
    return ".".join(text for text in found if text)


def place(cluster: Cluster, asked: Asked) -> Placement:
    """Return where a training would run; never refuses, for a node may come or become free while the run waits.

    On GPUs: the node's with the most memory of those that have as many free; else of those that have as many at all;
    else of any.
    """
    gpus = cluster.default_gpus if asked.gpus is None else asked.gpus
    found = _place_on_gpus(cluster, asked, gpus) if gpus else _place_on_cpu(cluster, asked)
    memory = asked.memory or cluster.rules.memory
    rules = cluster.rules
    room = Room(memory, memory, limited=True, disk=asked.disk or rules.disk, cache=rules.cache)
    return replace(found, gpus=gpus, nodes=asked.nodes, room=room)


def _place_on_gpus(cluster: Cluster, asked: Asked, gpus: int) -> Placement:
    fitting = [n for n in cluster.usable if n.gpus and asked.product in ("", n.product)]
    if not fitting:
        kind = f"{asked.product} GPU" if asked.product else "GPU"
        waits = (f"No node has a {kind} now, so the run waits for one. {_there(cluster)}",)
        return _by_name(asked.product, has_bf16(asked.product), waits)
    best = max(fitting, key=lambda n: (n.gpus_free >= gpus, n.gpus >= gpus, n.gpu_memory, n.gpus_free))
    words = (_where(best, gpus), *_others(best, fitting, asked))
    if not best.gpu_memory:
        return _by_name(best.product, best.bf16 if any(best.capability) else has_bf16(best.product), words)
    return on_gpu(best.gpu_memory, best.gpu_memory, best.bf16, words, product=best.product)


def _place_on_cpu(cluster: Cluster, asked: Asked) -> Placement:
    limit = asked.memory or cluster.rules.memory
    open_ = (node for node in cluster.nodes if not node.cpu_problem)
    largest = max(open_, key=lambda n: n.memory, default=None)
    if limit:
        words = (f"Planned for a CPU and {gib(limit)} of memory, which the run asks for.",)
        return on_cpu(limit, limit, words, processor=ANY_CPU)
    if largest is None:
        words = ("No node takes runs without GPUs now.",)
        return replace(on_cpu(ASSUMED_MEMORY, ASSUMED_MEMORY, words, processor=ANY_CPU), assumed=True)
    words = (f"Planned for the CPU of {largest.name}, the node with the most memory.",)
    cores = largest.cpu // 1000
    return on_cpu(largest.memory, largest.memory_free, words, processor=ANY_CPU, cores=cores)


def _by_name(product: str, bf16: bool | None, words: tuple[str, ...]) -> Placement:
    """Return a place on a GPU of which there is no more than the name of its product, if that.

    Args:
        bf16: whether it computes in bfloat16; None if that is not known.
    """
    memory = memory_of(product)
    if memory:
        guess = f"That its GPUs have {gib(memory)} of memory is taken from the name, for no node says it yet."
    else:
        guess = (
            f"How much memory its GPUs have is not known; {gib(ASSUMED_MEMORY)} are assumed. "
            "Label the nodes as GPU feature discovery does: nvidia.com/gpu.product, gpu.memory, gpu.compute.major."
        )
    memory = memory or ASSUMED_MEMORY
    found = on_gpu(memory, memory, bool(bf16), (*words, guess), product=product, assumed=True)
    return replace(found, device=replace(found.device, bf16_known=bf16 is not None))


def _where(node: Node, gpus: int) -> str:
    kind = f"{node.product or 'GPU'} ({gib(node.gpu_memory)})" if node.gpu_memory else node.product or "GPU"
    count = "a" if gpus == 1 else f"{gpus} ×"
    if node.gpus_free >= gpus:
        return f"Planned for {count} {kind}: {node.gpus_free} of {node.gpus} free on {node.name}."
    if node.gpus >= gpus:
        return f"Planned for {count} {kind} of {node.name}: {node.gpus_free} of {node.gpus} are free, so the run waits."
    return f"Planned for a {kind}; no node has {gpus} of them, so the run waits. {node.name} has {node.gpus}."


def _others(best: Node, fitting: Sequence[Node], asked: Asked) -> tuple[str, ...]:
    smaller = [n for n in fitting if n.product != best.product and n.gpu_memory < best.gpu_memory]
    if asked.product or not smaller:
        return ()
    least = min(smaller, key=lambda n: n.gpu_memory)
    name = f"{least.product or 'one'} ({gib(least.gpu_memory)})" if least.gpu_memory else "one of unknown memory"
    return (f"Ask for gpu_product {best.product}, or the run may get a {name}.",)


def _there(cluster: Cluster) -> str:
    found = Counter({n.product or "GPU": 0 for n in cluster.usable if n.gpus})
    for node in cluster.usable:
        if node.gpus:
            found[node.product or "GPU"] += node.gpus
    return f"There are: {', '.join(f'{n} × {p}' for p, n in sorted(found.items()))}." if found else "There is none."


def summary(cluster: Cluster) -> str:
    """Return in one sentence what the cluster means for training."""
    usable = cluster.usable
    nodes = "1 node" if len(cluster.nodes) == 1 else f"{len(cluster.nodes)} nodes"
    if len(usable) < len(cluster.nodes):
        nodes += f", {len(usable)} of which {'takes' if len(usable) == 1 else 'take'} runs"
    gpus, free = sum(n.gpus for n in usable), sum(n.gpus_free for n in usable)
    if not gpus:
        return f"{nodes}, no GPU: training runs on CPUs"
    kinds = Counter[str]()
    for node in usable:
        kinds[node.product or "GPU of unknown product"] += node.gpus
    listed = ", ".join(f"{number} × {product}" for product, number in sorted(kinds.items()) if number)
    return f"{nodes}: {listed}; {free} of {gpus} free"
