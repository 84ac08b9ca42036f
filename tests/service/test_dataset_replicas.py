"""Two replicas of the dataset service that call one endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2_grpc
from services.common.natsserver import NatsServer
from tests.fakes import dataset_process
from tests.fakes import llm_server as fake
from tests.fakes.datasets import ended, endpoint, state, until, wanted
from tests.fakes.llm_server import llm
from tests.fakes.running import channel_to
from tests.fakes.servers import free_ports

MOST = 6
DATASETS = 6
"""More than one replica generates side by side."""


@pytest.mark.timeout(90)
async def test_replicas_divide_the_calls_of_an_endpoint_and_inherit_those_of_one_that_is_killed(tmp_path: Path) -> None:
    """Never more in flight than the endpoint allows; after a kill -9 the other has them all, and nothing is lost."""
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    async with llm(fake.hang(0.1)) as server:
        replicas = [
            dataset_process.start(tmp_path, nats.url, address, 5, 3, instance=name, lease_seconds=3.0)
            for name, address in zip("ab", addresses, strict=True)
        ]
        try:
            async with channel_to(addresses[0]) as channel:
                stub: Any = dataset_service_pb2_grpc.DatasetServiceStub(channel)
                await stub.CreateLlmEndpoint(endpoint(server, max_concurrency=MOST), wait_for_ready=True)
                for number in range(DATASETS):
                    await stub.CreateDataset(wanted(f"d{number}"))
                await until(lambda: len(server.requests) >= 60)
                replicas[1].kill()
                await asyncio.to_thread(replicas[1].join)
                datasets = [await ended(stub, f"projects/p/datasets/d{number}") for number in range(DATASETS)]
        finally:
            for replica in replicas:
                replica.kill()
                await asyncio.to_thread(replica.join)
            await nats.stop()

    assert {state(dataset) for dataset in datasets} == {"SUCCEEDED"}
    assert {dataset.usage.calls for dataset in datasets} == {45}
    assert server.most_at_once == MOST
