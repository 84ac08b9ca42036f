"""Calls out of the set-up as docs/kubernetes-closed.md describes them: a proxy, and a certificate of one's own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session, constants

from finetuneflow.common.v1 import server_service_pb2 as pb
from services.common.bus import Bus
from services.common.errors import Unavailable
from services.dataset.compose import compose
from services.dataset.llm import Endpoint, LlmClient
from services.hardware.hub import HubSource
from services.trainer.s3 import Away, Refused, get
from tests.fakes.connect_proxy import ConnectProxy, proxy
from tests.fakes.llm_server import MODEL, LlmServer, llm
from tests.fakes.running import serving
from tests.fakes.servers import Server, free_ports, started
from tests.fakes.stores import nats_server
from tests.service.test_dataset_llm import MESSAGES, SCHEMA
from tests.service.test_doctor import dependencies, endpoint

TLS = Path(__file__).parents[1] / "fakes" / "tls"
HOST = "llm.internal.example"
URL = f"https://{HOST}/v1"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture
async def server() -> AsyncIterator[LlmServer]:
    """An LLM that speaks TLS, with a certificate that no system knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "llm.crt", TLS / "server.key")
    async with llm(tls=context) as found:
        yield found


@pytest.fixture
async def way(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectProxy]:
    """The only way to it: a proxy, which the environment names."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    async with proxy({HOST: server.port}) as found:
        monkeypatch.setenv("HTTPS_PROXY", found.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "llm.crt"))
        yield found


async def asked(url: str = URL) -> Any:
    """Ask an LLM for a completion and for vectors."""
    client = LlmClient(Endpoint("llmEndpoints/e", url, MODEL, 4, 5), backoff_seconds=0.01)
    try:
        await client.embed("vectors", ["a text"])
        return await client.complete(MESSAGES, SCHEMA, temperature=0, max_tokens=9, seed=1)
    finally:
        await client.close()


async def told(folder: Path, url: str = URL) -> pb.Dependency:
    """Return what `ftf doctor` gets to know of an LLM."""
    async with serving(folder, {"dataset": compose}) as served:
        await endpoint(served, url, "teacher")
        return (await dependencies(served))["dataset", "llmEndpoints/teacher"]


async def test_an_llm_behind_a_proxy_and_a_private_authority_is_reached(
    server: LlmServer, way: ConnectProxy, tmp_path: Path
) -> None:
    """By calls of both kinds and by the doctor, with HTTPS_PROXY and SSL_CERT_FILE."""
    await asked()
    found = await told(tmp_path)

    assert (len(server.requests), len(server.embeddings)) == (1, 1)
    assert found.state == pb.Dependency.STATE_ANSWERS, found.message
    assert set(way.asked) == {f"{HOST}:443"}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SSL_CERT_FILE", str(TLS / "other.crt"), "name its authority's certificates in SSL_CERT_FILE"),
        ("SSL_CERT_FILE", "", "name its authority's certificates in SSL_CERT_FILE"),
        ("SSL_CERT_FILE", str(TLS / "none.crt"), "SSL_CERT_FILE or SSL_CERT_DIR names no certificates: No such file"),
        ("SSL_CERT_FILE", str(TLS / "server.key"), "SSL_CERT_FILE or SSL_CERT_DIR names no certificates"),
    ],
    ids=["another", "none", "no-file", "no-certificate"],
)
async def test_a_certificate_that_is_not_trusted_is_told_with_the_remedy(
    way: ConnectProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """By a call as by the doctor; nothing is sent to the server."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(Unavailable) as caught:
        await asked()
    found = await told(tmp_path)

    assert caught.value.reason == "LLM_UNAVAILABLE"
    assert said in str(caught.value)
    assert found.state == pb.Dependency.STATE_FAILS
    assert said in found.message


async def test_a_proxy_that_refuses_or_is_away_is_told(
    way: ConnectProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the proxy that has to be asked, not the LLM."""
    with pytest.raises(Unavailable, match=r"status 403: the proxy of HTTPS_PROXY refuses"):
        await asked("https://other.internal.example/v1")
    found = await told(tmp_path, "https://other.internal.example/v1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="the proxy of HTTPS_PROXY does not answer"):
        await asked()

    assert "the proxy of HTTPS_PROXY refuses" in found.message


async def test_a_host_of_no_proxy_and_this_machine_are_asked_directly(
    server: LlmServer, way: ConnectProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By calls as by the doctor."""
    monkeypatch.setenv("NO_PROXY", HOST)
    with pytest.raises(Unavailable, match="no connection"):
        await asked()
    async with llm() as near:
        monkeypatch.setenv("HTTP_PROXY", way.url)
        await asked(near.url)
        found = await told(tmp_path, near.url)

    assert way.asked == []
    assert found.state == pb.Dependency.STATE_ANSWERS, found.message


async def test_a_job_goes_through_the_proxy_and_says_which_certificate_it_misses(
    way: ConnectProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it fetches from the object store; here the store has nothing, which it can only know by asking."""
    url, target = f"https://{HOST}/bucket/object", tmp_path / "object"
    with pytest.raises(Refused, match="404"):
        await asyncio.to_thread(get, url, target)
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "other.crt"))
    with pytest.raises(Away, match="SSL_CERT_FILE"):
        await asyncio.to_thread(get, url, target)

    assert way.asked == [f"{HOST}:443"] * 2


@pytest.mark.parametrize(("file", "said"), [("llm.crt", "answered with HTTP 404"), ("other.crt", "SSL_CERT_FILE")])
async def test_a_hub_of_ones_own_is_asked_through_the_proxy_and_no_other(
    way: ConnectProxy, monkeypatch: pytest.MonkeyPatch, file: str, said: str
) -> None:
    """It has no such model here; where its certificate is not trusted, the remedy is told."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / file))
    close_session()
    hub = HubSource(True, f"https://{HOST}", lambda: None)
    with pytest.raises(Unavailable, match=said):
        await hub.read("some/model", "")
    close_session()

    assert set(way.asked) == {f"{HOST}:443"}


async def test_nats_of_a_private_authority_is_reached_or_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By SSL_CERT_FILE; without it the service works on, and says what to do."""
    (port,) = free_ports(1)
    command = [nats_server(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(tmp_path / "kept")]
    command += ["--tls", "--tlscert", str(TLS / "server.crt"), "--tlskey", str(TLS / "server.key")]
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with started(Server(command, port, tmp_path / "nats", {})):
        stranger = await Bus.connect(f"tls://localhost:{port}")
        async with asyncio.timeout(60):
            while "its certificate is not trusted" not in stranger.silence:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
            met = stranger.connected
            await stranger.close()
            monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "server.crt"))
            friend = await Bus.connect(f"tls://localhost:{port}")
            while not friend.connected:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        await friend.close()

    assert not met
    assert "name its authority's certificates in SSL_CERT_FILE" in stranger.silence
    assert friend.silence == "NATS does not answer"
