"""How services call each other: replicas in turn, what is repeated, and with which token."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from finetuneflow.ingest.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from services.common.channels import Peers
from services.common.errors import Unavailable
from tests.fakes.running import TOKEN, serving
from tests.service.test_server import Endless, composed


async def test_calls_go_to_replicas_in_turn_and_reads_survive_the_loss_of_one(tmp_path: Path) -> None:
    """A name of several addresses is called at each; when one goes, reads do not notice."""
    one, two = Endless("one"), Endless("two")
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    request = ingest_service_pb2.GetProjectRequest()
    async with serving(tmp_path / "2", {"ingest": composed(two)}) as second:
        async with serving(tmp_path / "1", {"ingest": composed(one)}) as first:
            peers = Peers({"ingest": f"ipv4:{first.address},{second.address}"}, lambda: TOKEN)
            stub = ingest_service_pb2_grpc.IngestServiceStub(peers.ingest)
            both = {(await stub.GetProject(request)).name for _ in range(10)}
        rest = [(await stub.GetProject(request)).name for _ in range(10)]
        await peers.close()

    assert both == {"one", "two"}
    assert rest == ["two"] * 10


async def test_a_write_is_not_repeated(tmp_path: Path) -> None:
    """Whether it was done nobody knows; whoever asked for it decides."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        peers = Peers({"ingest": f"127.0.0.1:{closed.getsockname()[1]}"}, lambda: TOKEN)
        stub = ingest_service_pb2_grpc.IngestServiceStub(peers.ingest)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            await stub.DeleteProject(ingest_service_pb2.DeleteProjectRequest())
        wrote = asyncio.get_running_loop().time() - began
        with pytest.raises(Unavailable):
            await stub.GetProject(ingest_service_pb2.GetProjectRequest())
        read = asyncio.get_running_loop().time() - began - wrote
        await peers.close()

    assert wrote < 0.2
    assert read > 0.2


async def test_the_services_own_token_is_read_for_every_call(tmp_path: Path) -> None:
    """A ServiceAccount's token is renewed in its file while the service runs."""
    tokens = iter(["wrong-token", TOKEN])
    async with serving(tmp_path, {"ingest": composed(Endless("a"))}) as served:
        peers = Peers({"ingest": served.address}, lambda: next(tokens))
        stub = ingest_service_pb2_grpc.IngestServiceStub(peers.ingest)
        first = await refusal_of(stub)
        second = (await stub.GetProject(ingest_service_pb2.GetProjectRequest())).name
        await peers.close()

    assert (first, second) == ("UNAUTHENTICATED", "a")


async def refusal_of(stub: ingest_service_pb2_grpc.IngestServiceStub) -> str:
    from services.common.errors import FineTuneFlowError

    with pytest.raises(FineTuneFlowError) as caught:
        await stub.GetProject(ingest_service_pb2.GetProjectRequest())
    return caught.value.reason
