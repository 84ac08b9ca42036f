"""A program in a cluster: readiness, tokens of several issuers, calls over replicas, a graceful end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2, health_pb2_grpc

from finetuneflow.common.v1 import server_service_pb2, server_service_pb2_grpc
from finetuneflow.ingest.v1 import ingest_service_pb2, ingest_service_pb2_grpc, project_pb2
from services.common.auth import Principal
from services.common.config import Config
from services.common.errors import Unavailable
from services.common.jobs.process import ProcessJobs
from services.common.natsserver import NatsServer
from services.common.readiness import READINESS, Readiness
from services.common.runtime import Compose, Runtime, Service
from services.common.server import running
from services.hardware.compose import compose as hardware
from services.ingest.compose import compose as ingest
from tests.fakes.running import TOKEN, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(channel: grpc.aio.Channel, service: str) -> int:
    """Ask as a probe does."""
    stub = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def test_a_program_is_ready_without_nats(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Events only wake and tell: what all replicas do without must not take all of them away. The log tells."""
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    try:
        async with serving(tmp_path, {"ingest": ingest}, nats=nats) as served, served.channel("") as channel:
            before = await health(channel, READINESS), await health(channel, "finetuneflow.ingest.v1.IngestService")
            await nats.stop()
            async with asyncio.timeout(20):
                while "no answer from NATS" not in caplog.text:  # noqa: ASYNC110  # nothing else tells
                    await asyncio.sleep(0.1)
            without = await health(channel, READINESS), await health(channel, "")
    finally:
        await nats.stop()

    assert before == (SERVING, SERVING)
    assert without == (SERVING, SERVING)


async def test_a_program_is_not_ready_without_its_documents() -> None:
    """But alive, for a restart brings them back no sooner; it is ready again with them."""
    there = {"documents": True, "NATS": True}

    async def documents() -> bool:
        if not there["documents"]:
            raise Unavailable("The documents do not answer. Wait.")
        return True

    async def nats() -> bool:
        return there["NATS"]

    checker = health_service.aio.HealthServicer()
    readiness = Readiness(checker, ["service"], {"documents": documents, "NATS": nats}, ["documents"])

    async def said(name: str) -> int:
        return int((await checker.Check(health_pb2.HealthCheckRequest(service=name), None)).status)

    await readiness.begin()
    begun = [await said(name) for name in (READINESS, "service")]
    found = []
    for documents_there, nats_there in ((True, False), (False, True), (True, True)):
        there.update(documents=documents_there, NATS=nats_there)
        await readiness.look()
        found.append([await said(name) for name in (READINESS, "service", "")])
    await readiness.leave()

    assert begun == [NOT_SERVING, NOT_SERVING]
    assert found == [[SERVING] * 3, [NOT_SERVING, NOT_SERVING, SERVING], [SERVING] * 3]
    assert [await said(name) for name in (READINESS, "service", "")] == [NOT_SERVING, NOT_SERVING, SERVING]


class Issuer:
    """Knows one token, or cannot be asked."""

    def __init__(self, token: str, principal: Principal | None) -> None:
        self.token = token
        self.found = principal

    async def principal(self, token: str) -> Principal | None:
        if token != self.token:
            return None
        if self.found is None:
            raise Unavailable("The issuer does not answer. Wait.")
        return self.found


async def info(address: str, token: str) -> grpc.StatusCode:
    """Call a method with a token and return how it ends."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = server_service_pb2_grpc.ServerServiceStub(channel)
        try:
            await stub.GetServerInfo(
                server_service_pb2.GetServerInfoRequest(), metadata=[("authorization", f"Bearer {token}")]
            )
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_further_issuers_plug_in(tmp_path: Path) -> None:
    """One that cannot be asked makes UNAVAILABLE, so that the caller tries again; a stranger is UNAUTHENTICATED."""
    issuers = [Issuer("good", Principal("x", "service")), Issuer("unknown", None)]
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    config = Config(tmp_path, f"sqlite://{tmp_path}/{{service}}.db", f"file://{tmp_path}/objects", nats.url)
    async with running(config, {"u": TOKEN}, {"ingest": ingest}, ProcessJobs(tmp_path / "jobs"), issuers) as program:
        found = [await info(program.address, token) for token in ("good", TOKEN, "unknown", "stranger")]
    await nats.stop()

    codes = grpc.StatusCode
    assert found == [codes.OK, codes.OK, codes.UNAVAILABLE, codes.UNAUTHENTICATED]


class Endless(ingest_service_pb2_grpc.IngestServiceServicer):
    """Streams without end, and says who it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0

    async def GetProject(self, request: object, context: object) -> project_pb2.Project:
        self.calls += 1
        return project_pb2.Project(name=self.name)

    async def DeleteProject(self, request: object, context: object) -> ingest_service_pb2.DeleteProjectResponse:
        self.calls += 1
        await asyncio.sleep(0.5)
        return ingest_service_pb2.DeleteProjectResponse()

    async def WatchFile(self, request: object, context: object) -> AsyncIterator[object]:
        from finetuneflow.ingest.v1 import file_pb2

        yield file_pb2.File(name="first")
        await asyncio.sleep(3600)


def composed(api: Endless) -> Compose:
    def compose(runtime: Runtime) -> Service:
        return Service(
            name="ingest",
            register=lambda server: ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(api, server),
            full_names=["finetuneflow.ingest.v1.IngestService"],
        )

    return compose


async def test_a_program_that_ends_sends_its_streams_elsewhere(tmp_path: Path) -> None:
    """They end with UNAVAILABLE, at which clients connect again; a call under way is answered."""
    async with serving(tmp_path, {"ingest": composed(Endless("a"))}) as served:
        channel = await stack_channel(served.address)
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        stream = stub.WatchFile(ingest_service_pb2.WatchFileRequest(), metadata=[("authorization", f"Bearer {TOKEN}")])
        await stream.read()
        short = stub.DeleteProject(
            ingest_service_pb2.DeleteProjectRequest(), metadata=[("authorization", f"Bearer {TOKEN}")]
        )
        await asyncio.sleep(0.1)
        await served.program.leave()
        left = await health(channel, READINESS), await health(channel, "")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    await short
    await channel.close()

    assert left == (NOT_SERVING, SERVING)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def stack_channel(address: str) -> grpc.aio.Channel:
    """A channel that outlives its server."""
    channel = grpc.aio.insecure_channel(address)
    await channel.channel_ready()
    return channel


async def test_one_service_tells_of_all(tmp_path: Path) -> None:
    """A client sees one address, which leads to one of them; one that is away is left out."""
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    (tmp_path / "1" / "key").write_bytes(b"k" * 32)
    shared = {"signing_key_file": tmp_path / "1" / "key"}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{closed.getsockname()[1]}"
        async with serving(tmp_path / "1", {"ingest": composed(Endless("a"))}, **shared) as one:
            addresses = {"ingest": one.address, "training": away}
            async with (
                serving(tmp_path / "2", {"hardware": hardware}, addresses=addresses, **shared) as two,
                two.channel() as channel,
            ):
                stub = server_service_pb2_grpc.ServerServiceStub(channel)
                found = await stub.GetServerInfo(server_service_pb2.GetServerInfoRequest())

    assert list(found.services) == ["hardware", "ingest"]
    assert "model:folder" in found.capabilities
