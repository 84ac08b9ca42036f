"""Installing the chart into the bed and filling it, as a platform team would: helm, Secrets, a volume, `ftf`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetuneflow_client.client import FineTuneFlow
from tests.cluster import binaries
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.nodes import BedNode
from tests.cluster.bed.programs import Program
from tests.cluster.bed.waits import until
from tests.cluster.release import values
from tests.cluster.release.stores import Stores
from tests.fakes.llm_server import LlmServer, good
from tests.fakes.servers import free_ports, listening

Json = dict[str, Any]
NAME = "finetuneflow"
TOKEN = "the-token-of-a-cluster-test-user-0123456789"
ROOT = Path(__file__).parents[3]
MODELS = "/models"


@dataclass
class Release:
    """A release that serves, and what stands around it."""

    bed: Bed
    namespace: str
    stores: Stores
    llm: LlmServer
    address: str
    flow: FineTuneFlow
    node: BedNode
    folder: Path

    async def ftf(self, *words: str, code: int = 0, seconds: float = 100) -> str:
        """Run an `ftf` command against the release and return its output; another exit code than `code` fails."""
        environ = {**os.environ, "FTF_SERVER": self.address, "FTF_TOKEN": TOKEN, "NO_COLOR": "1", "COLUMNS": "200"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "finetuneflow_client.cli.main", *words, env=environ | {"HOME": str(self.folder)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(seconds):
            out, messages = await process.communicate()
        assert process.returncode == code, f"ftf {' '.join(words)}: {out.decode()} {messages.decode()}"
        return out.decode()

    async def pods(self, service: str) -> list[Json]:
        """Return the live pods of a service."""
        selector = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component={service}"
        found = await self.bed.raw.list("pods", self.namespace, labelSelector=selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def pid(self, pod: Json) -> int:
        """Return the process of a pod's first container."""
        uid = pod["metadata"]["uid"]
        return next(iter((await self.node.pids())[uid].values()))

    async def ready(self, service: str) -> bool:
        """Whether every replica of a service is ready."""
        found = await self.bed.raw.get("apps/v1/deployments", self.namespace, f"{NAME}-{service}")
        status = found["status"]
        settled = status.get("observedGeneration") == found["metadata"]["generation"]
        return bool(settled and status.get("readyReplicas", 0) == found["spec"]["replicas"])

    async def until_ready(self, *services: str, seconds: float = 60) -> None:
        """Wait until every replica of these services, or of all, is ready."""
        for service in services or values.SERVICES:
            await until(lambda service=service: self.ready(service), f"{service} is ready", seconds)  # type: ignore[misc]  # bound now


def images(bed: Bed) -> None:
    """Let the images be this checkout's own programs."""
    paths = [str(ROOT), str(ROOT / "protos" / "gen"), str(ROOT / "clients" / "python")]
    environ = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": ":".join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
    }
    for service in values.SERVICES:
        command = [sys.executable, "-m", f"services.{service}"]
        bed.image(f"finetuneflow/{service}:{values.TAG}", command, environ)
    bed.image(f"finetuneflow/trainer:{values.TAG}", [sys.executable, "-m", "services.trainer"], environ)


async def make_secrets(bed: Bed, namespace: str, stores: Stores) -> None:
    """Make the Secrets that the values name."""
    for name, content in {**stores.secrets(), "tokens": {"tester": TOKEN}}.items():
        data = {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}
        await bed.raw.create("secrets", namespace, {"metadata": {"name": name}, "data": data})


async def make_models(bed: Bed, namespace: str, folder: Path) -> None:
    """Make the claim of base models, bound to a folder of this machine."""
    size = {"storage": "1Gi"}
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": f"{namespace}-models"}
    volume = {
        "metadata": {"name": f"{namespace}-models"},
        "spec": {
            "capacity": size, "accessModes": spec["accessModes"], "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": namespace, "name": "models"}, "storageClassName": "",
        },
    }  # fmt: skip
    await bed.raw.create("persistentvolumes", "", volume)
    claim = {"metadata": {"name": "models"}, "spec": {**spec, "resources": {"requests": size}}}
    await bed.raw.create("persistentvolumeclaims", namespace, claim)


async def helm(bed: Bed, *words: str) -> str:
    """Run helm against the cluster; a failure fails the test with what it said."""
    environ = {**os.environ, "HOME": str(bed.folder), "KUBECONFIG": str(bed.kubeconfig)}
    process = await asyncio.create_subprocess_exec(
        str(binaries.path("helm")),
        *words,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, f"helm {words[0]}: {out.decode()}"
    return out.decode()


def gateway(bed: Bed, namespace: str, folder: Path) -> tuple[Program, str]:
    """Start what gives clients one address, by the release's own routes; return it and the address."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    options = [f"--kubeconfig={bed.kubeconfig}", f"--namespace={namespace}", f"--listen={address}"]
    program = Program.module("tests.cluster.bed.gateway", options, folder, f"gateway-{namespace}")
    program.start()
    return program, address


@contextlib.asynccontextmanager
async def installed(
    bed: Bed, folder: Path, models: Path, trainer: Sequence[str], env: dict[str, str]
) -> AsyncIterator[Release]:
    """Install the chart, wait until it serves, and take it away at the end.

    Args:
        models: folder of base models, seen as /models by the hardware service and Jobs.
        trainer: the command of Jobs.
        env: variables of Jobs.
    """
    async with contextlib.AsyncExitStack() as stack:
        stores = Stores(folder)
        await stores.start()
        stack.push_async_callback(stores.stop)
        llm = LlmServer(good)
        await llm.start()
        stack.push_async_callback(llm.stop)
        images(bed)
        namespace = await bed.namespace("restricted")
        node = await stack.enter_async_context(bed.kubelet(cpu=16))
        await make_secrets(bed, namespace, stores)
        await make_models(bed, namespace, models)
        chosen = folder / "values.json"
        chosen.write_text(json.dumps(values.values(stores, llm.url, list(trainer), env)), encoding="utf-8")
        await helm(bed, "install", NAME, str(ROOT / "deploy" / "chart"), "-n", namespace, "-f", str(chosen))
        stack.push_async_callback(helm, bed, "uninstall", NAME, "-n", namespace)
        program, address = gateway(bed, namespace, folder)
        stack.callback(program.stop)
        await until(lambda: asyncio.to_thread(listening, int(address.rpartition(":")[2])), "the gateway listens")
        flow = await stack.enter_async_context(FineTuneFlow.connect(address, TOKEN, wait=20))
        release = Release(bed, namespace, stores, llm, address, flow, node, folder)
        await release.until_ready(seconds=90)
        yield release
