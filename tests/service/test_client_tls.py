"""The client through TLS, as a gateway speaks it, and what it says when TLS is missing or wrong."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow_client.cli import exits
from finetuneflow_client.client import Services
from finetuneflow_client.connection import parsed
from finetuneflow_client.errors import FtfError
from finetuneflow_client.uploads import upload_file
from services.hardware.compose import compose as hardware
from services.ingest.compose import compose as ingest
from tests.fakes.running import TOKEN, serving
from tests.service.test_client_processes import subprocess_ftf

TLS = Path(__file__).parents[1] / "fakes" / "tls"
CERTIFICATE = str(TLS / "server.crt")


class Gateway(grpc.GenericRpcHandler):
    """Passes every call on, as it is, to the service that a route names; it ends TLS."""

    def __init__(self, routes: dict[str, grpc.aio.Channel]) -> None:
        self.routes = routes

    def service(self, details: Any) -> grpc.RpcMethodHandler | None:
        channel = self.routes.get(details.method.split("/")[1])
        if channel is None:
            return None

        async def call(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            going = channel.stream_stream(details.method)(requests, metadata=context.invocation_metadata())
            try:
                async for answer in going:
                    yield answer
            except grpc.aio.AioRpcError as error:
                context.set_trailing_metadata(tuple(error.trailing_metadata() or ()))
                await context.abort(error.code(), error.details() or "")

        return grpc.stream_stream_rpc_method_handler(call)


@contextlib.asynccontextmanager
async def gateway(tmp_path: Path) -> AsyncIterator[str]:
    """Two services, each answering only for itself, behind one address with TLS; yields host:port."""
    async with contextlib.AsyncExitStack() as stack:
        routes: dict[str, grpc.aio.Channel] = {}
        for name, compose in (("ingest", ingest), ("hardware", hardware)):
            (tmp_path / name).mkdir()
            served = await stack.enter_async_context(serving(tmp_path / name, {name: compose}))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(served.address))
            routes[f"finetuneflow.{name}.v1.{name.capitalize()}Service"] = channel
        routes["finetuneflow.common.v1.ServerService"] = routes["finetuneflow.hardware.v1.HardwareService"]
        server = grpc.aio.server(handlers=[Gateway(routes)])
        pair = ((TLS / "server.key").read_bytes(), (TLS / "server.crt").read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        await server.start()
        stack.push_async_callback(server.stop, 0)
        yield f"localhost:{port}"


async def test_everything_goes_through_one_address_with_tls(tmp_path: Path) -> None:
    """Uploads, lists, errors with their reasons; each service answers only for itself."""
    document = tmp_path / "a.md"
    document.write_text("# Rules\n\nLamps burn until ten.\n" * 2000)
    async with (
        gateway(tmp_path) as address,
        Services.connect(f"https://{address}", TOKEN, tls_ca=CERTIFICATE) as flow,
    ):
        request = ingest_service_pb2.CreateProjectRequest(project_id="p")
        project = await flow.ingest.CreateProject(request)
        file = await upload_file(flow, project.name, document)
        names = [found.name async for found in flow.files(project.name)]
        models = [found async for found in flow.models()]
        with pytest.raises(FtfError) as caught:
            await flow.ingest.GetProject(ingest_service_pb2.GetProjectRequest(name="projects/none"))

    assert names == [file.name]
    assert models == []
    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "NOT_FOUND")


async def refused(address: str, **fields: Any) -> FtfError:
    with pytest.raises(FtfError) as caught:
        async with Services.connect(address, TOKEN, wait=1, **fields):
            pass
    return caught.value


async def test_what_is_wrong_with_tls_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain to a server with TLS, TLS to a plain one, a certificate of nobody, one of another name."""
    async with gateway(tmp_path) as address:
        port = address.rpartition(":")[2]
        plain = await refused(address)
        unknown = await refused(f"https://{address}")
        other = await refused(f"https://{address}", tls_ca=str(TLS / "other.crt"))
        name = await refused(f"https://127.0.0.2:{port}", tls_ca=CERTIFICATE)
        monkeypatch.setenv("FTF_TLS_CA", CERTIFICATE)
        async with Services.connect(f"https://127.0.0.1:{port}", TOKEN):
            pass
    (tmp_path / "plain").mkdir()
    async with serving(tmp_path / "plain", {"ingest": ingest}) as served:
        tls = await refused(f"https://{served.address}")

    assert (plain.code, plain.message) == ("UNAVAILABLE", f"the server at {address} speaks TLS")
    assert plain.remedy == f"use https://{address}"
    assert "is not trusted" in unknown.message
    assert "--tls-ca" in unknown.remedy
    assert "is not trusted" in other.message
    assert "no server answers" in name.message or "is not trusted" in name.message
    assert tls.message == f"the server at {served.address} does not speak TLS"


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
async def test_a_file_without_certificates_is_refused(tmp_path: Path, text: str) -> None:
    """Before anything is sent."""
    (tmp_path / "ca").write_text(text)
    error = await refused("https://localhost:1", tls_ca=str(tmp_path / "ca"))
    missing = await refused("https://localhost:1", tls_ca=str(tmp_path / "none"))

    assert error.code == missing.code == "INVALID_ARGUMENT"
    assert "cannot use the certificates" in error.message


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("host:1", ("http", "host:1")),
        ("http://host:1/", ("http", "host:1")),
        ("https://host", ("https", "host:443")),
        ("https://host:8443/", ("https", "host:8443")),
        ("https://[::1]", ("https", "[::1]:443")),
        ("https://[::1]:8443", ("https", "[::1]:8443")),
    ],
)
def test_an_address_has_a_scheme_and_a_port(address: str, found: tuple[str, str]) -> None:
    """https has 443 unless it says otherwise."""
    assert parsed(address) == found


@pytest.mark.parametrize("address", ["ftp://host", "https://", "https://host/path", "https://user@host"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """With its form."""
    with pytest.raises(FtfError, match="is not an address"):
        parsed(address)


async def test_a_login_keeps_the_certificates_wherever_it_is_used_from(tmp_path: Path) -> None:
    """They are named by their whole path; without them the same server is refused."""
    (tmp_path / "token").write_text(TOKEN)
    names = ("FTF_SERVER", "FTF_TOKEN", "FTF_TLS_CA", "FTF_PROFILE", "FTF_STATE")
    env = {name: value for name, value in os.environ.items() if name not in names}
    env["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    async with gateway(tmp_path) as address:
        login = ("login", "--server", f"https://{address}", "--token-file", str(tmp_path / "token"))
        refused = await subprocess_ftf(*login, env=env, cwd=TLS)
        kept = await subprocess_ftf(*login, "--ca-file", "server.crt", env=env, cwd=TLS)
        used = await subprocess_ftf("project", "list", "--json", env=env, cwd=tmp_path)

    assert (refused.returncode, kept.returncode, used.returncode) == (exits.AWAY, exits.OK, exits.OK)
    assert "is not trusted" in refused.stderr
    assert used.stdout == '{\n  "projects": []\n}\n'
