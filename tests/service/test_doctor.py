"""What a set-up reaches: every host by name, asked over a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetuneflow.common.v1 import server_service_pb2 as pb
from finetuneflow.common.v1 import server_service_pb2_grpc
from finetuneflow.dataset.v1 import dataset_service_pb2, dataset_service_pb2_grpc, llm_endpoint_pb2
from services.common.dependencies import outside, shown
from services.common.kube.reached import reached, registry_of
from services.common.natsserver import NatsServer
from services.local import COMPOSES
from tests.fakes.llm_server import MODEL, llm
from tests.fakes.running import Served, serving


async def endpoint(served: Served, url: str, name: str, model: str = MODEL) -> None:
    """Record an LLM endpoint."""
    wanted = llm_endpoint_pb2.LlmEndpoint(base_url=url, model=model)
    async with served.channel() as channel:
        await dataset_service_pb2_grpc.DatasetServiceStub(channel).CreateLlmEndpoint(
            dataset_service_pb2.CreateLlmEndpointRequest(llm_endpoint=wanted, llm_endpoint_id=name, api_key="sk-secret")
        )


async def dependencies(served: Served) -> dict[tuple[str, str], pb.Dependency]:
    """Ask for what is reached: (service, what) → dependency."""
    async with served.channel() as channel:
        stub = server_service_pb2_grpc.ServerServiceStub(channel)
        found = await stub.CheckDependencies(pb.CheckDependenciesRequest())
    return {(one.service, one.what): one for one in found.dependencies}


async def test_every_store_and_endpoint_is_named_and_asked(tmp_path: Path) -> None:
    """What answers says so, what does not says what to do, and the hub that is switched off is never reached."""
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    async with llm() as teacher, serving(tmp_path, COMPOSES, nats=nats) as served:
        await endpoint(served, teacher.url, "there")
        await endpoint(served, teacher.url, "other", model="m")
        await endpoint(served, "http://127.0.0.1:9/v1", "away")
        found = await dependencies(served)
        await nats.stop()
        later = await dependencies(served)

    states = {key: one.state for key, one in found.items()}
    assert states["dataset", "llmEndpoints/there"] == pb.Dependency.STATE_ANSWERS
    assert states["dataset", "llmEndpoints/away"] == pb.Dependency.STATE_FAILS
    assert "let this service through to http://127.0.0.1:9/v1" in found["dataset", "llmEndpoints/away"].message
    assert "it answers, and has" in found["dataset", "llmEndpoints/there"].message
    assert states["dataset", "llmEndpoints/other"] == pb.Dependency.STATE_ANSWERS
    assert "m is not among its" in found["dataset", "llmEndpoints/other"].message
    assert states["hardware", "model hub"] == pb.Dependency.STATE_OFF
    for service in COMPOSES:
        for what in ("document store", "object store", "NATS"):
            assert states[service, what] == pb.Dependency.STATE_ANSWERS
    assert later["ingest", "NATS"].state == pb.Dependency.STATE_FAILS
    assert "sk-secret" not in str(found)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://huggingface.co", True),
        ("https://api.example.com/v1", True),
        ("8.8.8.8:443", True),
        ("http://127.0.0.1:11434/v1", False),
        ("10.1.2.3:27017", False),
        ("[::1]:4222", False),
        ("mongo.ftf.svc.cluster.local:27017", False),
        ("minio:9000", False),
        ("a:1,db.example.com:2", True),
        ("/var/lib/ftf/objects", False),
    ],
)
def test_what_is_outside_is_told_by_the_host(address: str, expected: bool) -> None:
    """A firewall has to let through what is neither here nor private nor of the cluster."""
    assert outside(address) is expected


def test_addresses_are_shown_without_credentials() -> None:
    """Passwords of stores stay in the configuration."""
    assert shown("mongodb://me:pass@a.example.com:27017,b.example.com/x?y=z") == "a.example.com:27017,b.example.com"
    assert shown("nats://token@nats:4222") == "nats:4222"
    assert shown("s3://minio:9000/bucket?secure=true") == "minio:9000"
    assert shown("sqlite:///state/x.db") == "/state/x.db"


def test_the_cluster_s_api_and_the_image_s_registry_are_named(tmp_path: Path) -> None:
    """The registry is the nodes' business: it is named, not asked."""
    template = tmp_path / "jobs.json"
    template.write_text('{"image": "registry.example.com/finetuneflow/trainer:1"}')
    found = reached(template, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})

    assert [(one.what, one.address) for one in found] == [
        ("Kubernetes API", "10.0.0.1:443"),
        ("image registry", "registry.example.com"),
    ]
    assert (found[1].probe, found[1].state) == (None, "NOT_ASKED")
    assert registry_of("finetuneflow/trainer:1") == registry_of("trainer") == "docker.io"
