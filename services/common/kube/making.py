"""Making the objects of a Job, each once whoever else does the same, and clearing away what was left of them."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from typing import Any

from services.common.errors import (
    AlreadyExists,
    FineTuneFlowError,
    InvalidArgument,
    NotReady,
    PermissionDenied,
    Unavailable,
)
from services.common.jobs.port import JobSpec
from services.common.kube import manifest
from services.common.kube.api import KubeApi, Object
from services.common.kube.podstate import seconds
from services.common.kube.template import JobTemplate

JOBS = "batch/v1/jobs"
_KUEUE = "/apis/kueue.x-k8s.io"
_KUEUE_SECONDS = 60.0
_ORPHAN_SECONDS = 600.0


class JobMaker:
    """Makes Jobs of specs.

    A Job's Secret and Service come before it and are owned by it from a moment after: what is left when we die in
    between is repaired or removed by `tidy`.
    """

    def __init__(self, api: KubeApi, template: JobTemplate, release: str) -> None:
        self._api = api
        self._template = template
        self._release = release
        self._kueue = (-_KUEUE_SECONDS, False)

    async def make(self, spec: JobSpec) -> Object:
        """Make the Job, or find it; return it as the API has it.

        Raises:
            NotReady: the cluster does not take it as it is (JOB_REFUSED).
            Unavailable: the cluster does not answer, or lets us make nothing yet.
        """
        path = self._api.path(JOBS, spec.name)
        found = await self._api.find(path)
        if found is not None:
            return found
        try:
            await self._make_secret(spec)
            if spec.resources.nodes > 1:
                await self._once("services", manifest.service(spec, self._release))
            suspend = bool(spec.resources.queue) and await self._has_kueue()
            body = manifest.job(spec, self._template, self._release, suspend=suspend)
            await self._once(JOBS, body)
        except (InvalidArgument, PermissionDenied) as error:
            raise _refused(spec, error) from None
        made = await self._api.get(path)
        for kind in ("secrets", "services") if spec.resources.nodes > 1 else ("secrets",):
            await self._adopt(kind, spec.name, made)
        return made

    async def tidy(self, jobs: Iterable[Object], mine: str) -> None:
        """Give Secrets and Services without an owner to their Jobs; remove those that have had none for 10 min.

        Args:
            jobs: all that the selector finds.
            mine: label selector of what to look at.
        """
        known = {job["metadata"]["name"]: job for job in jobs}
        for kind in ("secrets", "services"):
            for thing in await self._api.metadata(self._api.path(kind), {"labelSelector": mine}):
                meta = thing["metadata"]
                if meta.get("ownerReferences"):
                    continue  # the garbage collector's
                if job := known.get(meta["name"]):
                    await self._adopt(kind, meta["name"], job)
                elif time.time() - seconds(meta.get("creationTimestamp")) > _ORPHAN_SECONDS:
                    await self._api.delete(self._api.path(kind, meta["name"]), {"preconditions": {"uid": meta["uid"]}})

    async def remove(self, name: str) -> None:
        """Remove a Job with its Secret and Service; its pods go in a moment. Repeating it does nothing."""
        await self._api.delete(self._api.path(JOBS, name), {"propagationPolicy": "Background"})
        for kind in ("secrets", "services"):
            await self._api.delete(self._api.path(kind, name))

    async def _once(self, kind: str, body: Object) -> bool:
        """Create an object; return False if there is one of that name."""
        try:
            await self._api.create(self._api.path(kind), body)
        except AlreadyExists:
            return False
        return True

    async def _make_secret(self, spec: JobSpec) -> None:
        body = manifest.secret(spec, self._release)
        if await self._once("secrets", body):
            return
        path = self._api.path("secrets", spec.name)
        there = await self._api.find(path)
        owners = [o["uid"] for o in (there or body)["metadata"].get("ownerReferences") or []]
        job = await self._api.find(self._api.path(JOBS, spec.name))
        if there and (not owners or (job and job["metadata"]["uid"] in owners)):
            return
        # It belonged to an earlier Job of that name, and would go with it.
        if there:
            await self._api.delete(path, {"preconditions": {"uid": there["metadata"]["uid"]}})
        await self._once("secrets", body)

    async def _adopt(self, kind: str, name: str, job: Object) -> None:
        await self._api.patch(self._api.path(kind, name), {"metadata": {"ownerReferences": [manifest.owner(job)]}})

    async def _has_kueue(self) -> bool:
        asked, found = self._kueue
        if time.monotonic() - asked > _KUEUE_SECONDS:
            found = await self._api.find(_KUEUE) is not None
            self._kueue = (time.monotonic(), found)
        return found


def _refused(spec: JobSpec, error: FineTuneFlowError) -> FineTuneFlowError:
    """Return what a refusal of the API server's means: for good, or until somebody sees to it."""
    text = error.message
    for content in spec.secrets.values():
        for secret in (content, base64.b64encode(content.encode()).decode()):
            text = text.replace(secret, "…") if secret else text
    if isinstance(error, PermissionDenied) and "exceeded quota" in text:
        message = f"The namespace's quota is used up: {text}. Wait for other Jobs, or raise the quota."
        return Unavailable(message, metadata={"waiting": "QUOTA"})
    if isinstance(error, PermissionDenied) and " cannot " in text:
        return Unavailable(
            f"This service may not make Jobs: {text}. Give its ServiceAccount the chart's Role.",
            reason="CONFIGURATION",
            metadata={"waiting": "CONFIGURATION"},
        )
    facts: dict[str, Any] = {"job": spec.name}
    return NotReady(
        f"The cluster does not take the Job: {text}. Change the run's resources or the chart's values.",
        reason="JOB_REFUSED",
        metadata=facts,
    )
