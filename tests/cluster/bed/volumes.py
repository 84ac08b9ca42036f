"""A pod's volumes: folders on this machine that the launcher shows at their mountPaths."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.bed.api import Api, ApiError
from tests.cluster.bed.environment import ConfigError, Lookup, field, keys, resource_field
from tests.cluster.bed.mounts import mount_tmpfs, unmount

Json = dict[str, Any]
TOKEN_SHARE = 0.8  # Of a token's life; a fresh one is asked for after it.


class MountError(Exception):
    """A volume cannot be set up yet."""


def write_files(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Replace all files of a volume at once, as the kubelet does: a reader sees the old ones or the new ones.

    Args:
        folder: of the volume.
        files: name → (content, mode); names may hold slashes.
    """
    now = folder / f"..{secrets.token_hex(4)}"
    for name, (content, mode) in files.items():
        path = now / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    now.mkdir(exist_ok=True)
    data = folder / "..data"
    before = data.resolve() if data.is_symlink() else None
    fresh = folder / "..data_new"
    fresh.symlink_to(now.name)
    fresh.replace(data)
    tops = {name.partition("/")[0] for name in files}
    for name in tops:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
    if before:
        shutil.rmtree(before, ignore_errors=True)


class Volumes:
    """All volumes of one pod."""

    def __init__(self, api: Api, pod: Json, folder: Path, lookup: Lookup) -> None:
        """Prepare nothing yet; folder is for the volumes' own folders."""
        self._api, self._pod, self._folder, self._lookup = api, pod, folder, lookup
        self._paths: dict[str, Path] = {}
        self._written: dict[str, Mapping[str, tuple[bytes, int]]] = {}
        self._tokens: dict[str, tuple[float, str]] = {}
        self._mounted: list[Path] = []
        self._namespace = str(pod["metadata"]["namespace"])

    async def prepare(self) -> None:
        """Set all volumes up. Raises MountError; may be called again."""
        for volume in self._pod["spec"].get("volumes", []):
            if volume["name"] not in self._paths or self._changing(volume):
                try:
                    self._paths[volume["name"]] = await self._prepare(volume)
                except (ConfigError, ApiError) as error:
                    raise MountError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error

    @property
    def changing(self) -> bool:
        """Whether any volume follows an object that may change."""
        return any(self._changing(volume) for volume in self._pod["spec"].get("volumes", []))

    @staticmethod
    def _changing(volume: Json) -> bool:
        return not {"secret", "configMap", "projected", "downwardAPI"}.isdisjoint(volume)

    async def _prepare(self, volume: Json) -> Path:
        name = str(volume["name"])
        if "persistentVolumeClaim" in volume:
            return await self._claimed(volume["persistentVolumeClaim"]["claimName"])
        if "hostPath" in volume:
            Path(volume["hostPath"]["path"]).mkdir(parents=True, exist_ok=True)
            return Path(volume["hostPath"]["path"])
        path = self._folder / name
        path.mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            if volume["emptyDir"].get("medium") == "Memory":
                mount_tmpfs(path, volume["emptyDir"].get("sizeLimit", ""))
                self._mounted.append(path)
            path.chmod(0o777)
            return path
        files = await self._files(volume)
        if self._written.get(name) != files:
            write_files(path, files)
            self._written[name] = files
        return path

    async def _claimed(self, claim: str) -> Path:
        """Return the folder of the hostPath volume that a claim is bound to."""
        found = await self._api.get("persistentvolumeclaims", self._namespace, claim)
        if found.get("status", {}).get("phase") != "Bound":
            raise ConfigError(f'persistentvolumeclaim "{claim}" is not bound')
        volume = await self._api.get("persistentvolumes", "", found["spec"]["volumeName"])
        path = Path(volume["spec"]["hostPath"]["path"])
        path.mkdir(parents=True, exist_ok=True)
        return path

    async def _files(self, volume: Json) -> dict[str, tuple[bytes, int]]:
        """Return the files that a volume's sources give."""
        if "projected" in volume:
            mode = volume["projected"].get("defaultMode", 0o644)
            files: dict[str, tuple[bytes, int]] = {}
            for source in volume["projected"]["sources"]:
                files |= await self._source(source, mode, str(volume["name"]))
            return files
        kind = next(kind for kind in ("secret", "configMap", "downwardAPI") if kind in volume)
        source = dict(volume[kind])
        if kind == "secret":
            source["name"] = source.pop("secretName")
        return await self._source({kind: source}, source.get("defaultMode", 0o644), str(volume["name"]))

    async def _source(self, source: Json, mode: int, volume: str) -> dict[str, tuple[bytes, int]]:
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            return {wanted["path"]: ((await self._token(wanted, volume)).encode(), mode)}
        if "downwardAPI" in source:
            items = source["downwardAPI"].get("items", [])
            return {item["path"]: (self._downward(item).encode(), item.get("mode", mode)) for item in items}
        kind, reference = next(iter(source.items()))
        data = await keys(self._lookup, "secrets" if kind == "secret" else "configmaps", self._namespace, reference)
        if "items" not in reference:
            return {key: (value, mode) for key, value in data.items()}
        missing = [item["key"] for item in reference["items"] if item["key"] not in data]
        if missing and not reference.get("optional"):
            raise ConfigError(f"references non-existent secret key: {missing[0]}")
        kept = (item for item in reference["items"] if item["key"] in data)
        return {item["path"]: (data[item["key"]], item.get("mode", mode)) for item in kept}

    def _downward(self, item: Json) -> str:
        if "fieldRef" in item:
            return field(self._pod, item["fieldRef"]["fieldPath"])
        reference = item["resourceFieldRef"]
        container = next(c for c in self._pod["spec"]["containers"] if c["name"] == reference["containerName"])
        return resource_field(container, reference)

    async def _token(self, wanted: Json, volume: str) -> str:
        """Return a token of the pod's ServiceAccount, bound to the pod; a fresh one before the last runs out."""
        key = f"{volume}/{wanted['path']}"
        until, token = self._tokens.get(key, (0.0, ""))
        if time.monotonic() < until:
            return token
        meta, life = self._pod["metadata"], int(wanted.get("expirationSeconds", 3600))
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        spec: Json = {"expirationSeconds": life, "boundObjectRef": bound}
        if wanted.get("audience"):
            spec["audiences"] = [wanted["audience"]]
        account = self._pod["spec"].get("serviceAccountName") or "default"
        made = await self._api.create("serviceaccounts", self._namespace, {"spec": spec}, "token", account)
        token = str(made["status"]["token"])
        self._tokens[key] = (time.monotonic() + life * TOKEN_SHARE, token)
        return token

    def mounts(self, container: Json, env: Mapping[str, str]) -> list[Json]:
        """Return what the launcher has to mount for a container."""
        found = []
        for mount in container.get("volumeMounts", []):
            source = self._paths[mount["name"]]
            sub = mount.get("subPath") or mount.get("subPathExpr", "")
            if sub:
                for name, value in env.items():
                    sub = sub.replace(f"$({name})", value)
                source = source / sub
                if not source.exists():
                    source.mkdir(parents=True)
            read_only = bool(mount.get("readOnly")) or mount["name"] in self._written
            found.append({"source": os.path.realpath(source), "path": mount["mountPath"], "readOnly": read_only})
        return found

    async def remove(self) -> None:
        """Remove what the pod alone had."""
        for path in self._mounted:
            unmount(path)
        await asyncio.to_thread(shutil.rmtree, self._folder, True)
