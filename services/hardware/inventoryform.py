"""What there is to train on, and what is asked of it, as messages."""

from __future__ import annotations

from finetuneflow.hardware.v1 import device_pb2
from finetuneflow.training.v1 import resources_pb2
from services.common.errors import InvalidArgument
from services.common.jobs.port import MAX_GPUS, MAX_NODES
from services.common.jobs.quantity import parse_quantity
from services.hardware import core_cluster, core_inventory
from services.hardware.core_cluster import Cluster, Node
from services.hardware.core_inventory import Gpu, Machine
from services.hardware.core_placement import Asked


def asked(resources: resources_pb2.Resources) -> Asked:
    """Return what a run asks for.

    Raises:
        InvalidArgument: memory or disk are not a quantity, or no run can have as many GPUs or nodes.
    """
    for name, most in (("gpus", MAX_GPUS), ("nodes", MAX_NODES)):
        value = getattr(resources, name)
        if not 0 <= value <= most:
            least = int(name == "nodes")  # where 0 is not given
            raise InvalidArgument(f"{name} is {value}. Use {least} to {most}.", field=f"resources.{name}")
    return Asked(
        gpus=resources.gpus if resources.HasField("gpus") else None,
        product=resources.gpu_product,
        memory=_bytes(resources, "memory"),
        nodes=max(resources.nodes, 1),
        disk=_bytes(resources, "ephemeral_storage"),
    )


def _bytes(resources: resources_pb2.Resources, name: str) -> int:
    given = getattr(resources, name)
    return int(parse_quantity(given, f"resources.{name}")) if given else 0


def to_proto(found: Machine | Cluster) -> device_pb2.Inventory:
    """Return what there is as a message."""
    return _cluster(found) if isinstance(found, Cluster) else _machine(found)


def _machine(machine: Machine) -> device_pb2.Inventory:
    return device_pb2.Inventory(
        node=machine.node,
        gpus=[_gpu(gpu) for gpu in machine.driver.gpus],
        cpu_cores=machine.cpu_cores,
        memory_bytes=machine.memory,
        memory_free_bytes=machine.memory_free,
        disk_free_bytes=machine.disk_free,
        driver_version=machine.driver.version,
        cuda_version=machine.driver.cuda,
        summary=core_inventory.summary(machine),
    )


def _gpu(gpu: Gpu) -> device_pb2.Gpu:
    return device_pb2.Gpu(
        index=gpu.index,
        product=gpu.product,
        uuid=gpu.uuid,
        memory_bytes=gpu.memory,
        memory_free_bytes=gpu.memory_free,
        compute_capability="{}.{}".format(*gpu.capability),
        bf16=gpu.bf16,
        bitsandbytes_4bit=gpu.bitsandbytes_4bit,
    )


def _cluster(cluster: Cluster) -> device_pb2.Inventory:
    usable = cluster.usable
    return device_pb2.Inventory(
        gpus=[gpu for node in usable for gpu in _gpus(node)],
        cpu_cores=sum(node.cpu for node in usable) // 1000,
        memory_bytes=sum(node.memory for node in usable),
        memory_free_bytes=sum(node.memory_free for node in usable),
        disk_free_bytes=sum(node.disk_free for node in usable),
        summary=core_cluster.summary(cluster),
        nodes=[_node(node) for node in cluster.nodes],
    )


def _gpus(node: Node) -> list[device_pb2.Gpu]:
    """A node's GPUs; which of them are free the cluster does not tell, so the last ones are."""
    return [
        device_pb2.Gpu(
            index=index,
            product=node.product,
            memory_bytes=node.gpu_memory,
            memory_free_bytes=node.gpu_memory if index >= node.gpus - node.gpus_free else 0,
            compute_capability=_capability(node),
            bf16=node.bf16,
            bitsandbytes_4bit=node.bitsandbytes_4bit,
            node=node.name,
        )
        for index in range(node.gpus)
    ]


def _node(node: Node) -> device_pb2.Node:
    return device_pb2.Node(
        name=node.name,
        problem=node.problem,
        gpu_product=node.product,
        gpus=node.gpus,
        gpus_free=node.gpus_free,
        gpu_memory_bytes=node.gpu_memory,
        compute_capability=_capability(node),
        bf16=node.bf16,
        bitsandbytes_4bit=node.bitsandbytes_4bit,
        driver_version=node.driver,
        cuda_version=node.cuda,
        cpu_millicores=node.cpu,
        cpu_free_millicores=node.cpu_free,
        memory_bytes=node.memory,
        memory_free_bytes=node.memory_free,
        disk_bytes=node.disk,
        disk_free_bytes=node.disk_free,
    )


def _capability(node: Node) -> str:
    return "{}.{}".format(*node.capability) if node.capability > (0, 0) else ""
