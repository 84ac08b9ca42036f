"""`ftf push` to a real OCI registry: what arrives, what is not sent twice, who is let in."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from finetuneflow_client.cli.main import main
from finetuneflow_client.errors import FtfError
from finetuneflow_client.pushing import ARTIFACT, Login, push_oci
from tests.cluster import binaries

pytestmark = pytest.mark.cluster

USER, PASSWORD = "pusher", "correct horse"  # of this registry alone
HASHED = "$2b$04$8XIZaCgSUw7ofzQSS9ggXu.OLiIMuA0nQCIggBFT78Xpx7MLuctE."


@pytest_asyncio.fixture
async def registry(tmp_path: Path) -> AsyncIterator[str]:
    """host:port of a registry without TLS that wants a password."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (tmp_path / "htpasswd").write_text(f"{USER}:{HASHED}\n")
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "store")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "bed", "path": str(tmp_path / "htpasswd")}},
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))
    command = [str(binaries.path("registry")), "serve", str(tmp_path / "config.yml")]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command, env={"OTEL_TRACES_EXPORTER": "none"}, stdout=quiet, stderr=quiet
    )
    try:
        await answers(address)
        yield address
    finally:
        process.terminate()
        await process.wait()


async def answers(address: str) -> None:
    """Wait until a registry greets."""
    async with httpx.AsyncClient() as client, asyncio.timeout(30):
        while True:
            try:
                await client.get(f"http://{address}/v2/")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Weights with their paper."""
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"\x01\x02" * 1_500_000)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("# Handbook\n")
    return folder


async def fetched(address: str, path: str) -> bytes:
    """Read something of the registry."""
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    async with httpx.AsyncClient(auth=(USER, PASSWORD), headers=accept) as client:
        answer = await client.get(f"http://{address}/v2/team/handbook/{path}")
    return answer.raise_for_status().content


async def test_a_folder_arrives_as_a_model(registry: str, folder: Path) -> None:
    """Each file is a layer under its name and hash; the same folder again sends nothing and is the same artifact."""
    said: list[str] = []
    again: list[str] = []
    reference, login = f"{registry}/team/handbook:1", Login(USER, PASSWORD)
    name = await asyncio.to_thread(push_oci, folder, reference, login, plain_http=True, say=said.append)
    same = await asyncio.to_thread(push_oci, folder, reference, login, plain_http=True, say=again.append)
    manifest = await fetched(registry, "manifests/1")
    layers = json.loads(manifest)["layers"]
    content = {
        layer["annotations"]["org.cncf.model.filepath"]: await fetched(registry, f"blobs/{layer['digest']}")
        for layer in layers
    }

    assert name == same == f"{registry}/team/handbook@sha256:{hashlib.sha256(manifest).hexdigest()}"
    assert content == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert json.loads(manifest)["artifactType"] == ARTIFACT
    assert [layer["mediaType"].removeprefix("application/vnd.cncf.model.") for layer in layers] == [
        "doc.v1.raw",
        "weight.config.v1.raw",
        "weight.v1.raw",
    ]
    assert (len(said), again) == (3, [])


async def test_who_may_not_push_is_told_how(registry: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a login, and with a wrong one: one plain error, at once."""
    monkeypatch.setenv("HOME", str(folder.parent))
    for login in (Login(), Login(USER, "wrong")):
        with pytest.raises(FtfError, match="docker login") as refused:
            await asyncio.to_thread(push_oci, folder, f"{registry}/team/handbook:1", login, plain_http=True)

        assert refused.value.code == "UNAUTHENTICATED"


def test_only_what_is_as_it_was_signed_is_pushed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without an attestation goes nowhere."""
    code = main(["push", str(folder), "oci://127.0.0.1:9/team/handbook:1"])

    assert code != 0
    assert "ftf: " in capsys.readouterr().err
