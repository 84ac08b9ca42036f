"""Main memory and disk of the place where a run would run, looked at before it starts, over real gRPC."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetuneflow.hardware.v1 import hardware_service_pb2
from finetuneflow.training.v1 import check_pb2, estimate_pb2
from tests.fakes.upstream import usual
from tests.service.test_training import request, training

GIB = 1 << 30
Told = list[tuple[bool, str, str, str]]


async def told(state: Path, node: hardware_service_pb2.NodeUse, disk: estimate_pb2.Range | None = None) -> Told:
    """Whether it forbids the run, field, text and remedy of what is said of memory and disk."""
    upstream = usual()
    upstream.node = node
    if disk:
        upstream.disk = disk
    async with training(state, upstream, steps=1) as (stub, _):
        wanted = request()
        wanted.validate_only = True
        check = (await stub.CreateRun(wanted)).check
    refuse, fields = (
        check_pb2.Problem.SEVERITY_REFUSE,
        ("resources.memory", "resources.gpus", "resources.ephemeral_storage", "run.model"),
    )
    return [(p.severity == refuse, p.field, p.message, p.remedy) for p in check.problems if p.field in fields]


def loading(
    low: float, high: float, processes: int, memory: int, free: int, *, limited: bool
) -> hardware_service_pb2.NodeUse:
    """A node whose processes load so much, in GiB."""
    return hardware_service_pb2.NodeUse(
        loading_bytes=estimate_pb2.Range(low=low * GIB, likely=low * GIB, high=high * GIB),
        processes=processes,
        memory_bytes=memory * GIB,
        memory_free_bytes=free * GIB,
        memory_limited=limited,
    )


async def test_a_model_that_a_jobs_memory_cannot_load_is_refused(tmp_path: Path) -> None:
    """Eight processes load it whole, though each GPU has room for it; the remedy is how much to ask for."""
    found = await told(tmp_path, loading(240, 270.5, 8, 16, 16, limited=True))

    assert found == [
        (
            True,
            "resources.memory",
            "Each of the 8 processes of a node loads the model into main memory before it is on its GPU, which takes "
            "240 GiB to 270 GiB in all; the run gets 16.0 GiB.",
            "Ask for more with `--memory 271Gi`, or ask for fewer GPUs.",
        )
    ]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (loading(4, 18, 1, 16, 16, limited=True), [(False, "resources.memory")]),
        (loading(4, 15, 1, 16, 16, limited=True), []),
        (loading(4, 15, 1, 0, 0, limited=True), []),
        (loading(14, 15, 1, 32, 12, limited=False), [(False, "resources.gpus")]),
        (loading(34, 36, 1, 32, 30, limited=False), [(True, "resources.gpus")]),
        (hardware_service_pb2.NodeUse(memory_bytes=GIB, memory_free_bytes=GIB), []),
    ],
    ids=["may not suffice", "suffices", "unknown", "busy", "too small", "no GPU"],
)
async def test_what_may_suffice_is_told_only(
    tmp_path: Path, node: hardware_service_pb2.NodeUse, expected: list[tuple[bool, str]]
) -> None:
    """On one machine other programs may end, so only what it can never load is refused."""
    assert [(refuses, field) for refuses, field, *_ in await told(tmp_path, node)] == expected


async def test_what_is_yet_to_be_fetched_takes_disk_as_well(tmp_path: Path) -> None:
    """A hub's model beside what the run writes."""
    node = hardware_service_pb2.NodeUse(disk_bytes=10 * GIB, fetched_bytes=int(16e9))
    found = await told(tmp_path, node, estimate_pb2.Range(low=1e9, likely=1e9, high=1.5e9))

    assert [(refuses, text) for refuses, _, text, _ in found] == [
        (True, "This run needs 17.0 to 17.5 GB of disk; each of its pods gets 10.7 GB.")
    ]


@pytest.mark.parametrize(("low", "refuses"), [(60e9, True), (50e9, False)])
async def test_the_disk_of_a_job_is_what_it_asks_for(tmp_path: Path, low: float, refuses: bool) -> None:
    """What is free on nodes says nothing there."""
    node = hardware_service_pb2.NodeUse(disk_bytes=50 * GIB)
    found = await told(tmp_path, node, estimate_pb2.Range(low=low, likely=70e9, high=80e9))

    assert found == [
        (
            refuses,
            "resources.ephemeral_storage",
            f"This run needs {low / 1e9:.1f} to 80.0 GB of disk; each of its pods gets 53.7 GB.",
            "Ask for more with `--ephemeral-storage 75Gi`, or train an adapter instead of every weight.",
        )
    ]


@pytest.mark.parametrize(("most", "refused"), [(50, True), (150, False), (0, False)])
async def test_a_hub_s_model_has_to_fit_into_the_cache_of_a_pod(tmp_path: Path, most: int, refused: bool) -> None:
    """A larger disk does not help: the cache has a limit of its own."""
    node = hardware_service_pb2.NodeUse(disk_bytes=400 * GIB, fetched_bytes=int(140e9), cache_bytes=most * GIB)
    found = await told(tmp_path, node)

    assert (
        found
        == [
            (
                True,
                "run.model",
                "The model's weights are 140.0 GB; the hub's cache of a pod has 53.7 GB.",
                "Set the chart's cache.existingClaim, or a larger cache.size; or import the model.",
            )
        ]
        * refused
    )
