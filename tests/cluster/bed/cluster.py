"""The whole bed: one control plane with DNS for a test session, and what a test does with it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.
from kubernetes import aio

from tests.cluster import binaries
from tests.cluster.bed import nodes
from tests.cluster.bed.api import Api, ApiError
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.bed.programs import Program, wait_for
from tests.cluster.bed.stores import Stores, answers
from tests.cluster.bed.waits import until

Json = dict[str, Any]
DNS = "10.244.0.2"


class Cluster:
    """What lasts for the session: processes, folders and numbers. It belongs to no event loop."""

    def __init__(self) -> None:
        """Start nothing yet."""
        # Below the folder that enter.py removes whatever happens.
        self.folder = Path(
            tempfile.mkdtemp(prefix="cluster-", dir=os.environ.get("FTF_KEEP_BED") or os.environ["FTF_BED"])
        )
        outage = float(os.environ.get("FTF_FAULT_SECONDS", "10"))
        self.control = ControlPlane(binaries.path("controlplane"), self.folder / "control", outage)
        self.kubeconfig = self.control.kubeconfig
        options = [f"--kubeconfig={self.kubeconfig}", f"--bed={self.folder}", f"--listen={DNS}"]
        self.dns = Program.module("tests.cluster.bed.dns", options, self.folder, "dns")
        self.numbers = itertools.count(1)
        self.stores = Stores(self.folder)
        self.seconds = 0.0
        self._images: dict[str, Json] = {}

    def start(self) -> None:
        """Start the control plane and DNS; `seconds` tells how long that took. Raises NotUp."""
        begun = time.monotonic()
        self.control.start()
        self.dns.start()
        self.seconds = time.monotonic() - begun

    def stop(self) -> None:
        """End everything."""
        self.stores.stop()
        self.dns.stop()
        self.control.stop()

    def image(
        self,
        name: str,
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        workdir: str = "/",
        show: Sequence[Path | str] = (),
    ) -> None:
        """Let an image be pulled: its containers run this command of this machine unless they name their own.

        Args:
            name: with its tag, or without for all tags.
            command: the image's entry point.
            env: variables that the image brings.
            show: folders of this machine that its containers see and may write to, whatever is mounted over them.
        """
        places = [str(path) for path in show]
        self._images[name] = {"command": list(command), "env": dict(env or {}), "workdir": workdir, "show": places}
        self._write_images()

    def forget_image(self, name: str) -> None:
        """Let an image be pulled no more."""
        self._images.pop(name, None)
        self._write_images()

    def _write_images(self) -> None:
        fresh = self.folder / "images.json.new"
        fresh.write_text(json.dumps(self._images), encoding="utf-8")
        fresh.replace(self.folder / "images.json")


class Bed:
    """A test's hold on the cluster, in its own event loop: use it with `async with`."""

    def __init__(self, cluster: Cluster) -> None:
        """Connect to nothing yet."""
        self.cluster, self.control = cluster, cluster.control
        self.kubeconfig, self.folder, self.image = cluster.kubeconfig, cluster.folder, cluster.image
        self.stores = cluster.stores
        self.mongo_url, self.objects_url, self.nats_url = Stores.mongo_url, Stores.objects_url, Stores.nats_url
        self.raw = Api(cluster.kubeconfig)
        self._stack = contextlib.AsyncExitStack()
        self._namespaces: list[str] = []

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._stack.enter_async_context(self.raw)
        self.api: aio.client.ApiClient = await connect(self.kubeconfig)
        self._stack.push_async_callback(self.api.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the test's nodes, ask for its namespaces to go, and disconnect. What missed something is renewed."""
        for name in self._namespaces:
            self._stack.push_async_callback(self.raw.delete, "namespaces", "", name)
        try:
            await self._stack.aclose()
        finally:
            await asyncio.to_thread(self.control.renew)

    async def namespace(self, enforce: str = "restricted", name: str = "") -> str:
        """Make a namespace that enforces a Pod Security Standard ("" for none), and return its name.

        It has its default ServiceAccount when this returns.
        """
        name = name or f"t-{secrets.token_hex(4)}"
        labels = {"pod-security.kubernetes.io/enforce": enforce} if enforce else {}
        await self.raw.create("namespaces", "", {"metadata": {"name": name, "labels": labels}})
        self._namespaces.append(name)
        await until(lambda: self.raw.get("serviceaccounts", name, "default"), "the default ServiceAccount")
        return name

    @contextlib.asynccontextmanager
    async def kubelet(
        self, name: str = "", *, gpus: int = 0, gpu_product: str = "NVIDIA-A100-SXM4-80GB", gpu_memory: int = 81920,
        cpu: int = 8, memory: str = "64Gi", disk: str = "100Gi", labels: Mapping[str, str] | None = None,
        taints: Sequence[Json] | None = None,
    ) -> AsyncIterator[nodes.BedNode]:  # fmt: skip
        """Run a node while inside.

        Args:
            gpu_memory: MiB of each GPU.
            taints: none given: nvidia.com/gpu=present:NoSchedule on a node with GPUs, none on another.
        """
        number = next(self.cluster.numbers)
        name = name or f"node-{number}"
        taints = ([nodes.GPU_TAINT] if gpus else []) if taints is None else taints
        description = nodes.describe(
            name, cpu=cpu, memory=memory, disk=disk, gpus=gpus, product=gpu_product, gpu_memory=gpu_memory,
            labels=labels, taints=taints,
        )  # fmt: skip
        async with nodes.node(self.raw, self.folder, self.kubeconfig, number, description) as found:
            yield found

    async def helm(self, *arguments: str, timeout: float = 300) -> str:
        """Run helm against the cluster and return what it printed. Raises HelmError when it fails."""
        home = self.folder / "helm"
        places = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        environment = os.environ | places | {"KUBECONFIG": str(self.kubeconfig)}
        child = await asyncio.create_subprocess_exec(
            str(binaries.path("helm")), *arguments, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, problem = await asyncio.wait_for(child.communicate(), timeout)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0:
            raise HelmError(f"helm {' '.join(arguments)} → {child.returncode}: {problem.decode()}{out.decode()}")
        return out.decode()

    async def gateway_api(self) -> None:
        """Let the API server know Gateways and GRPCRoutes; doing it again changes nothing."""
        for file in sorted(binaries.gateway_crds().glob("*.yaml")):
            definition = yaml.safe_load(file.read_text(encoding="utf-8"))
            name, crds = definition["metadata"]["name"], "apiextensions.k8s.io/v1/customresourcedefinitions"
            try:
                await self.raw.create(crds, "", definition)
            except ApiError as error:
                if error.code != 409:
                    raise
            await until(lambda name=name: established(self.raw, name), f"{name} is known")  # type: ignore[misc]  # Bound.

    @contextlib.asynccontextmanager
    async def gateway(self, namespace: str, tls: str = "") -> AsyncIterator[str]:
        """Run a gateway for the GRPCRoutes of a namespace, and give its address, host:port.

        Args:
            tls: a Secret of type kubernetes.io/tls to serve with; none for plain text.
        """
        address = f"10.244.0.{100 + next(self.cluster.numbers) % 100}:{443 if tls else 80}"
        options = [f"--kubeconfig={self.kubeconfig}", f"--namespace={namespace}", f"--listen={address}", f"--tls={tls}"]
        program = Program.module("tests.cluster.bed.gateway", options, self.folder, f"gateway-{namespace}")
        program.start()
        try:
            host, _, port = address.rpartition(":")
            await asyncio.to_thread(wait_for, "the gateway", lambda: answers((host, int(port))), program)
            yield address
        finally:
            program.stop()


async def connect(kubeconfig: Path) -> aio.client.ApiClient:
    """Return a client of the administrator's."""
    new: Any = aio.config.new_client_from_config
    client: aio.client.ApiClient = await new(str(kubeconfig))
    return client


class HelmError(RuntimeError):
    """helm failed; the text is what it said."""


async def established(api: Api, name: str) -> bool:
    """Whether a CustomResourceDefinition is served."""
    found = await api.get("apiextensions.k8s.io/v1/customresourcedefinitions", "", name)
    return any(
        c["type"] == "Established" and c["status"] == "True" for c in found.get("status", {}).get("conditions") or []
    )
