"""A release and who may call it: one address, services that know each other, tokens that come and go, pods that end."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow_client.client import Services
from finetuneflow_client.errors import FtfError
from tests.cluster.bed.waits import until
from tests.fakes.running import channel_to
from tests.service.test_every_method import methods

if TYPE_CHECKING:
    from tests.cluster.bed.cluster import Cluster
    from tests.cluster.release.install import Release

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

TOKEN = "the-token-of-a-cluster-test-user-0123456789"
OTHER = "the-token-of-somebody-else-0123456789"
PROJECT = ingest_service_pb2.GetProjectRequest(name="projects/none")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def release(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Release]:
    """The chart, installed; no run is started."""
    from tests.cluster.bed.cluster import Bed
    from tests.cluster.release.install import installed

    folder = tmp_path_factory.mktemp("release")
    (folder / "models").mkdir()
    async with Bed(cluster) as bed, installed(bed, folder, folder / "models", [sys.executable], {}) as found:
        yield found


async def known(release: Release, token: str) -> bool:
    """Whether a token opens a call; it answers NOT_FOUND then."""
    async with Services.connect(release.address, token, patience=0) as flow:
        with pytest.raises(FtfError) as caught:
            await flow.ingest.GetProject(PROJECT)
    return caught.value.code == "NOT_FOUND"


async def test_one_address_tells_of_all_services(release: Release) -> None:
    """The one that is asked asks the others, with its ServiceAccount's token, by their names in the cluster's DNS."""
    info = json.loads(await release.ftf("status", "--json"))

    assert sorted(info["services"]) == ["dataset", "export", "hardware", "ingest", "training"]
    assert "documents:pdf" in info["capabilities"]


async def test_the_one_address_describes_all_services(release: Release) -> None:
    """By reflection, so that grpcurl needs no files of the contract."""
    async with channel_to(release.address, TOKEN) as channel:
        found = {service.split(".")[1] for service, *_ in await methods(channel)}

    assert {"ingest", "dataset", "hardware", "training", "export"} <= found


async def test_a_shell_in_front_of_it_finds_the_release(release: Release, tmp_path: Path) -> None:
    """By `ftf` and by helm, with the variables that `make bed-shell` sets; profiles are kept apart from one's own."""
    from tests.cluster.shell import environment

    script = "ftf status --json && helm list --short && "
    script += "ftf login --profile bed --server $FTF_SERVER --token-file token && ls config/*"
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=tmp_path, env=environment(release, tmp_path), stdout=asyncio.subprocess.PIPE
    )
    said = (await shell.communicate())[0].decode()

    assert shell.returncode == 0
    assert "documents:pdf" in said
    assert "finetuneflow\n" in said
    assert "config.toml" in said


async def test_the_hardware_is_the_clusters(release: Release) -> None:
    """Its nodes, by the rights that the chart gives."""
    inventory = json.loads(await release.ftf("hardware", "--json"))["inventory"]

    (node,) = (node for node in inventory["nodes"] if node["name"] == release.node.name)
    assert not node.get("problem")
    assert int(node["cpu_free_millicores"]) < int(node["cpu_millicores"])


async def test_a_key_in_a_call_is_refused_with_the_remedy(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is a URL that the values do not allow."""
    create = ("llm", "create", "x", "--llm-model", "m", "--url")
    monkeypatch.setenv("FTF_LLM_API_KEY", "sk-key")
    key = await fails(release, *create, release.llm.url)
    monkeypatch.delenv("FTF_LLM_API_KEY")
    url = await fails(release, *create, "https://elsewhere.example/v1")

    assert "api_key_secret" in key
    assert "is not a URL that this server may call" in url


async def fails(release: Release, *words: str) -> str:
    """Run a command that must fail, and return what it says."""
    with pytest.raises(AssertionError) as caught:
        await release.ftf(*words)
    return str(caught.value)


async def test_a_token_is_good_while_it_is_in_the_secret(release: Release) -> None:
    """It comes and goes without a restart, as soon as the volume follows."""
    before = await known(release, OTHER)
    data = {"other": base64.b64encode(OTHER.encode()).decode()}
    await release.bed.raw.patch("secrets", release.namespace, "tokens", {"data": data})
    await until(lambda: known(release, OTHER), "the new token is taken", 60)
    await release.bed.raw.patch("secrets", release.namespace, "tokens", {"data": {"other": None}})

    async def revoked() -> bool:
        return not await known(release, OTHER)

    await until(revoked, "the token is refused", 60)
    assert not before
    assert await known(release, TOKEN)


async def test_calls_outlast_the_replacement_of_the_pod_behind_them(release: Release) -> None:
    """The old one sends its callers away, and what may be repeated is, until the next one is ready."""
    wanted = ingest_service_pb2.GetProjectRequest(name="projects/p")
    await release.flow.ingest.CreateProject(ingest_service_pb2.CreateProjectRequest(project_id="p"))
    old = {pod["metadata"]["name"] for pod in await release.pods("ingest")}
    for name in old:
        await release.bed.raw.delete("pods", release.namespace, name)
    async with Services.connect(release.address, TOKEN, patience=60) as flow:

        async def replaced() -> bool:
            assert (await flow.ingest.GetProject(wanted)).name == wanted.name
            pods = await release.pods("ingest")
            ready = [c["status"] for pod in pods for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]
            return bool(ready) and set(ready) == {"True"} and not old & {pod["metadata"]["name"] for pod in pods}

        await until(replaced, "the pods are replaced", 90)
