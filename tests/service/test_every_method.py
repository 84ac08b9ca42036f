"""Every method of every service, found by reflection, is closed to those without the right token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from finetuneflow_client.answer import Answer
from services.common.auth import Principal, Signer
from services.common.secretfiles import Secrets
from services.local import COMPOSES
from tests.fakes.running import Served, serving

WORKER = "finetuneflow.common.v1.WorkerService"
HEALTH = "grpc.health.v1.Health"


async def methods(channel: grpc.aio.Channel) -> list[tuple[str, str, bool, bool]]:
    """Ask a server for its methods: (service, method, client streams, server streams)."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    async def ask(**fields: Any) -> Any:
        async def requests() -> Any:
            yield reflection_pb2.ServerReflectionRequest(**fields)

        return await anext(aiter(stub.ServerReflectionInfo(requests())))

    found = []
    for service in (await ask(list_services="")).list_services_response.service:
        answer = await ask(file_containing_symbol=service.name)
        for data in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            for described in file.service:
                if f"{file.package}.{described.name}" == service.name:
                    found += [(service.name, m.name, m.client_streaming, m.server_streaming) for m in described.method]
    return found


async def code(channel: grpc.aio.Channel, service: str, method: str, sends: bool, receives: bool) -> grpc.StatusCode:
    """Call a method with an empty message and return how it ends; OK for the first answer of a stream."""
    kind: Any = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }[sends, receives]
    begin = kind(f"/{service}/{method}", request_serializer=bytes, response_deserializer=bytes)

    async def messages() -> Any:
        yield b""

    call = begin(messages() if sends else b"", timeout=10)
    answer = Answer(call)
    try:
        await (anext(aiter(call)) if receives else call)
    except grpc.aio.AioRpcError as error:
        return (await answer.instead_of(error)).code()
    except StopAsyncIteration:
        return grpc.StatusCode.OK
    return grpc.StatusCode.OK


async def refusals(served: Served, token: str) -> dict[str, grpc.StatusCode]:
    """Call every method with a token and return how each ends."""
    async with served.channel() as known:
        found = [m for m in await methods(known) if m[0] != HEALTH]
    async with served.channel(token) as channel:
        return {f"{m[0]}/{m[1]}": await code(channel, *m) for m in found}


@pytest.mark.parametrize("token", ["", "wrong", "ftf1.e30.e30"])
async def test_without_a_good_token_every_method_is_closed(tmp_path: Path, token: str) -> None:
    """Reflection included; health checks alone are open."""
    async with serving(tmp_path, COMPOSES) as served:
        ended = await refusals(served, token)

    assert len(ended) > 50
    assert set(ended.values()) == {grpc.StatusCode.UNAUTHENTICATED}


async def test_where_services_show_service_accounts_a_signed_token_is_no_service(tmp_path: Path) -> None:
    """Whoever gets hold of the signing key can pose as a trainer at most; a token of no known account opens nothing."""
    (tmp_path / "own").write_text("the-token-of-an-account")
    account = {"system:serviceaccount:ns:ingest": "ingest"}
    async with serving(tmp_path, COMPOSES, service_accounts=account, service_token_file=tmp_path / "own") as served:
        signer = Signer(Secrets(tmp_path / "secrets").key("signing.key"))
        signed = await refusals(served, signer.sign(Principal("ingest", "service")))
        own = await refusals(served, "the-token-of-an-account")

    assert set(signed.values()) == set(own.values()) == {grpc.StatusCode.UNAUTHENTICATED}


async def test_another_runs_attempt_opens_nothing(tmp_path: Path) -> None:
    """A trainer's token is good for its own work alone: not for a user's methods, not for other work."""
    async with serving(tmp_path, COMPOSES) as served:
        signer = Signer(Secrets(tmp_path / "secrets").key("signing.key"))
        other = "projects/p/runs/other"
        ended = await refusals(served, signer.sign(Principal(other, "attempt", other, 1)))

    # The worker contract refuses the empty message for its work's name.
    assert set(ended.values()) == {grpc.StatusCode.PERMISSION_DENIED}


async def test_a_users_token_does_not_open_the_worker_contract(tmp_path: Path) -> None:
    """Nobody but a trainer may report for a run."""
    async with serving(tmp_path, COMPOSES) as served, served.channel() as channel:
        found = [m for m in await methods(channel) if m[0] == WORKER]
        ended = {m[1]: await code(channel, *m) for m in found}

    assert len(ended) == 5
    assert set(ended.values()) == {grpc.StatusCode.PERMISSION_DENIED}


async def test_health_is_open_to_probes(tmp_path: Path) -> None:
    """A probe has no token."""
    async with serving(tmp_path, COMPOSES) as served, served.channel("") as channel:
        ended = await code(channel, HEALTH, "Check", False, False)

    assert ended == grpc.StatusCode.OK


async def test_one_program_describes_the_services_of_the_others(tmp_path: Path) -> None:
    """Of those that it has addresses of, each once; one address stands for all programs of a cluster."""
    elsewhere = {"ingest": "127.0.0.1:9", "training": "127.0.0.1:9"}
    async with (
        serving(tmp_path, {"training": COMPOSES["training"]}, addresses=elsewhere) as served,
        served.channel() as channel,
    ):
        found = [f"{service}/{method}" for service, method, *_ in await methods(channel)]

    assert "finetuneflow.ingest.v1.IngestService/ListProjects" in found
    assert found.count("finetuneflow.training.v1.TrainingService/CreateRun") == 1
    assert not [one for one in found if "ExportService" in one]
