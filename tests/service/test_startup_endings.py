"""How a service ends whose stores are refused, or that still waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.documents.sqlite import SqliteDocuments
from services.common.natsserver import NatsServer
from services.common.ownership import claim
from tests.fakes import stores
from tests.fakes.servers import free_ports
from tests.service.test_startup import SECRET
from tests.unit.kube.test_template import WHOLE


async def test_a_service_that_is_refused_ends_with_one_line(tmp_path: Path, seaweedfs: stores.S3) -> None:
    """Exit code 1, no traceback, no secret."""
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    environment = {
        "PATH": os.environ["PATH"],
        "FTF_STATE": str(tmp_path / "state"),
        "FTF_DOCUMENTS": f"sqlite://{tmp_path}/{{service}}.db",
        "FTF_OBJECTS": seaweedfs.url("no-such-bucket"),
        "AWS_ACCESS_KEY_ID": seaweedfs.keys[0],
        "AWS_SECRET_ACCESS_KEY": seaweedfs.keys[1],
        "FTF_NATS_URL": nats.url,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.hardware", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, messages = await process.communicate()
    await nats.stop()
    lines = [line for line in messages.decode().splitlines() if line.startswith("hardware:")]

    assert process.returncode == 1
    assert len(lines) == 1
    assert "no bucket no-such-bucket" in lines[0]
    assert "Traceback" not in messages.decode()
    assert seaweedfs.keys[1] not in messages.decode()


async def test_a_service_that_waits_for_a_store_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """At once and in peace, though the store might come any moment."""
    environment = {
        "PATH": os.environ["PATH"],
        "FTF_STATE": str(tmp_path / "state"),
        "FTF_DOCUMENTS": f"sqlite://{tmp_path}/{{service}}.db",
        "FTF_OBJECTS": "s3://127.0.0.1:1/bucket?secure=false",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "FTF_NATS_URL": "nats://127.0.0.1:1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.hardware", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    await process.stderr.readline()  # that something does not answer
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, messages = await process.communicate()

    assert process.returncode == 0
    assert b"Traceback" not in messages


@pytest.mark.parametrize("service", ["training", "export"])
async def test_a_second_installation_on_the_same_stores_does_not_start(tmp_path: Path, service: str) -> None:
    """Where both would launch Jobs: one line that names the other; the one whose stores they are starts."""
    documents = SqliteDocuments(tmp_path / f"{service}.db")
    await claim(documents, "default/team-a")
    await documents.close()
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    environment = _in_a_cluster(tmp_path, nats.url)
    ended = {}
    for release in ("team-b", "team-a"):
        command = [sys.executable, "-m", f"services.{service}"]
        process = await asyncio.create_subprocess_exec(
            *command, env={**environment, "FTF_RELEASE": release}, stderr=asyncio.subprocess.PIPE
        )
        if release == "team-a":
            await _serving(environment["FTF_LISTEN"])
            process.send_signal(signal.SIGTERM)
        messages = await _ended(process)
        ended[release] = process.returncode, messages
    await nats.stop()
    code, messages_of_b = ended["team-b"]
    (line,) = (line for line in messages_of_b.splitlines() if line.startswith(f"{service}:"))

    assert code == 1
    assert "belongs to the installation default/team-a, and this one is default/team-b" in line
    assert "Traceback" not in messages_of_b
    assert ended["team-a"][0] == 0


async def _ended(process: asyncio.subprocess.Process) -> str:
    """Return what a process said that ends by itself."""
    try:
        async with asyncio.timeout(30):
            return (await process.communicate())[1].decode()
    except TimeoutError:
        process.kill()
        raise


def _in_a_cluster(folder: Path, nats: str) -> dict[str, str]:
    """Return the environment of a service that launches Jobs through an API server that does not answer."""
    (folder / "jobs.json").write_text(json.dumps(WHOLE))
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    kube = {"current-context": "c", "clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}]}
    (folder / "kubeconfig").write_text(json.dumps(kube))
    return {
        "PATH": os.environ["PATH"],
        "FTF_STATE": str(folder / "state"),
        "FTF_DOCUMENTS": f"sqlite://{folder}/{{service}}.db",
        "FTF_OBJECTS": f"file://{folder}/objects",
        "FTF_NATS_URL": nats,
        "FTF_LISTEN": f"127.0.0.1:{free_ports(1)[0]}",
        "FTF_JOBS": "kubernetes",
        "FTF_JOB_TEMPLATE": str(folder / "jobs.json"),
        "KUBECONFIG": str(folder / "kubeconfig"),
    }


async def _serving(address: str) -> None:
    """Return once a service answers that it is ready."""
    async with asyncio.timeout(30), grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service="readiness")
        answer = None
        while answer is None or answer.status != health_pb2.HealthCheckResponse.SERVING:
            with contextlib.suppress(grpc.aio.AioRpcError):
                answer = await health_pb2_grpc.HealthStub(channel).Check(request, wait_for_ready=True)
