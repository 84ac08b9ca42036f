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

from finetuneflow_client.client import Services
from services.common.outside import KINDS
from services.common.ownership import COLLECTION, JOBS
from services.common.stores import open_documents
from tests.cluster.bed.api import ApiError, path_of
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.nodes import BedNode
from tests.cluster.bed.services import SLICES
from tests.cluster.bed.stores import ACCESS_KEY, SECRET_KEY, Stores
from tests.cluster.bed.waits import until
from tests.cluster.release import values
from tests.fakes.llm_server import LlmServer, good

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
    flow: Services
    node: BedNode
    folder: Path
    project: str = ""

    async def ftf(self, *words: str, code: int = 0, seconds: float = 100) -> str:
        """Run an `ftf` command against the release and return its output; another exit code than `code` fails."""
        environ = {**os.environ, "FTF_SERVER": self.address, "FTF_TOKEN": TOKEN, "NO_COLOR": "1", "COLUMNS": "200"}
        environ["FTF_PROJECT"] = self.project
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
        """Whether every replica of a service is ready, and calls are led to it.

        Two controllers say so, each in its own time: after an outage the one may be behind the other by seconds.
        """
        found = await self.bed.raw.get("apps/v1/deployments", self.namespace, f"{NAME}-{service}")
        status, replicas = found["status"], found["spec"]["replicas"]
        settled = status.get("observedGeneration") == found["metadata"]["generation"]
        selector = f"kubernetes.io/service-name={NAME}-{service}"
        slices = await self.bed.raw.list(SLICES, self.namespace, labelSelector=selector)
        led = sum(bool(one["conditions"].get("ready")) for each in slices for one in each.get("endpoints") or [])
        return bool(settled and status.get("readyReplicas", 0) == led == replicas)

    async def until_ready(self, *services: str, seconds: float = 60) -> None:
        """Wait until every replica of these services, or of all, is ready."""
        for service in services or values.SERVICES:
            try:
                await until(lambda service=service: self.ready(service), f"{service} is ready", seconds)  # type: ignore[misc]  # bound now
            except AssertionError as error:
                raise AssertionError(f"{error}\n{await self.troubles(service)}") from None

    async def troubles(self, service: str) -> str:
        """Return how a service's pods are and the ends of their logs, for people."""
        lines = []
        for pod in await self.pods(service):
            name = pod["metadata"]["name"]
            statuses = pod["status"].get("containerStatuses") or pod["status"].get("conditions")
            lines.append(f"{name}: {json.dumps(statuses)}")
            for previous in ("false", "true"):
                with contextlib.suppress(ApiError):
                    path = path_of("pods", self.namespace, name, "log")
                    lines.append((await self.bed.raw.text(path, previous=previous))[-2000:])
        return "\n".join(lines)


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
    contents = {
        "documents": {"url": stores.mongo_url},
        "objects": {"access-key": ACCESS_KEY, "secret-key": SECRET_KEY},
        "nats": {"url": stores.nats_url},
        "tokens": {"tester": TOKEN},
    }
    for name, content in contents.items():
        data = {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}
        await bed.raw.create("secrets", namespace, {"metadata": {"name": name}, "data": data})


async def let_go(stores: Stores) -> None:
    """Take away the mark of an installation that was here before: the stores are those of the whole session."""
    for service in KINDS:
        documents = await open_documents(stores.mongo_url, service)
        await documents.collection(COLLECTION).delete(JOBS)
        await documents.close()


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


@contextlib.asynccontextmanager
async def installed(
    bed: Bed, folder: Path, models: Path, trainer: Sequence[str], env: dict[str, str], *, namespace: str = ""
) -> AsyncIterator[Release]:
    """Install the chart, wait until it serves, and take it away at the end.

    Args:
        models: folder of base models, seen as /models by the hardware service and Jobs.
        trainer: the command of Jobs.
        env: variables of Jobs.
        namespace: where to; without one, a new name.
    """
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.to_thread(bed.stores.start)
        llm = LlmServer(good)
        await llm.start()
        stack.push_async_callback(llm.stop)
        images(bed)
        await bed.gateway_api()
        namespace = await bed.namespace("restricted", namespace)
        node = await stack.enter_async_context(bed.kubelet(cpu=16))
        await make_secrets(bed, namespace, bed.stores)
        await make_models(bed, namespace, models)
        await let_go(bed.stores)
        chosen = folder / "values.json"
        chosen.write_text(json.dumps(values.values(bed.stores, llm.url, list(trainer), env)), encoding="utf-8")
        await bed.helm("install", NAME, str(ROOT / "deploy" / "chart"), "-n", namespace, "-f", str(chosen))
        stack.push_async_callback(bed.helm, "uninstall", NAME, "-n", namespace)
        address = await stack.enter_async_context(bed.gateway(namespace))
        flow = await stack.enter_async_context(Services.connect(address, TOKEN, wait=20, patience=60))
        release = Release(bed, namespace, bed.stores, llm, address, flow, node, folder)
        await release.until_ready(seconds=40)
        yield release
