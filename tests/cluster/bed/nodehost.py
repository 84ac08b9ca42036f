"""What a node gives its pods: images, addresses, names, and the objects that they refer to."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.cluster.bed.api import AWAY, Api, ApiError
from tests.cluster.bed.process import ROOT
from tests.cluster.bed.statuses import stamp

Json = dict[str, Any]
CACHE = 1.0  # seconds that a Secret or ConfigMap is taken for unchanged
SHARED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "LANG")


class Images:
    """The images that can be pulled: images.json of the bed, which tests write."""

    def __init__(self, path: Path) -> None:
        """Read it anew at every question."""
        self._path = path

    def get(self, name: str) -> Json | None:
        """Return {command, env, workdir} of an image, by its whole name or by its name without tag and digest."""
        known: dict[str, Json] = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
        plain = name.partition("@")[0]
        untagged = plain.rpartition(":")[0] if ":" in plain.rpartition("/")[2] else plain
        return next((known[key] for key in (name, plain, untagged) if key in known), None)


class NodeHost:
    """One node."""

    def __init__(self, api: Api, name: str, ip: str, bed: Path, backoff: float) -> None:
        """Begin present.

        Args:
            bed: the bed's folder; the node's own is below it.
            backoff: seconds before a container's second restart; doubled after each.
        """
        self.api, self.name, self.ip, self.backoff = api, name, ip, backoff
        self.folder = bed / "nodes" / name
        self.images = Images(bed / "images.json")
        self._present = asyncio.Event()
        self._present.set()
        self._objects: dict[tuple[str, str, str], tuple[float, dict[str, bytes] | None]] = {}

    @property
    def away(self) -> bool:
        """Whether the node is lost to the cluster: its pods run on, and nobody hears of them."""
        return not self._present.is_set()

    def vanish(self) -> None:
        """Be lost."""
        self._present.clear()

    def come_back(self) -> None:
        """Be there again."""
        self._present.set()

    async def present(self) -> None:
        """Wait while the node is lost."""
        await self._present.wait()

    async def lookup(self, kind: str, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Return the data of a Secret or ConfigMap, None when there is none."""
        await self.present()
        until, data = self._objects.get((kind, namespace, name), (0.0, None))
        if time.monotonic() < until:
            return data
        try:
            found = await self.api.get(kind, namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise
            return None
        if kind == "secrets":
            data = {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
        else:
            data = {key: value.encode() for key, value in found.get("data", {}).items()}
            data |= {key: base64.b64decode(value) for key, value in found.get("binaryData", {}).items()}
        self._objects[(kind, namespace, name)] = (time.monotonic() + CACHE, data)
        return data

    async def event(self, pod: Json, reason: str, message: str, kind: str = "Warning") -> None:
        """Write an event about a pod; one that cannot be written is dropped, as by a kubelet."""
        meta = pod["metadata"]
        about = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "namespace": meta["namespace"]}
        body = {
            "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
            "involvedObject": about | {"uid": meta["uid"]}, "reason": reason, "message": message[:1024], "type": kind,
            "source": {"component": "kubelet", "host": self.name}, "firstTimestamp": stamp(), "lastTimestamp": stamp(),
            "count": 1, "reportingComponent": "kubelet", "reportingInstance": self.name,
        }  # fmt: skip
        try:
            await self.api.create("events", meta["namespace"], body)
        except (ApiError, *AWAY):
            return

    def base_environment(self, pod: Json) -> dict[str, str]:
        """Return the variables that every container has: the programs of this checkout, and the API's address."""
        server = urlsplit(self.api.server)
        own = {
            "PATH": f"{ROOT}/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/tmp",
            "HOSTNAME": str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63],
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        return own | {name: os.environ[name] for name in SHARED if name in os.environ}

    def name_files(self, pod: Json, ip: str, folder: Path) -> list[Json]:
        """Write the pod's /etc/hosts and /etc/resolv.conf; return how the launcher mounts them."""
        namespace, spec = pod["metadata"]["namespace"], pod["spec"]
        domain = f"{namespace}.svc.cluster.local"
        host = str(spec.get("hostname") or pod["metadata"]["name"])
        full = f"{host}.{spec['subdomain']}.{domain}\t" if spec.get("subdomain") else ""
        (folder / "hosts").write_text(f"127.0.0.1\tlocalhost\n::1\tlocalhost\n{ip}\t{full}{host}\n", encoding="utf-8")
        search = f"search {domain} svc.cluster.local cluster.local"
        text = f"nameserver 10.244.0.2\n{search}\noptions ndots:5 timeout:1 attempts:3\n"
        (folder / "resolv.conf").write_text(text, encoding="utf-8")
        return [{"source": str(folder / n), "path": f"/etc/{n}", "readOnly": False} for n in ("hosts", "resolv.conf")]
