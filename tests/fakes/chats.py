"""A cluster of nobody, and chats on it about a run that has succeeded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.common.auth import Signer
from services.common.errors import Unavailable
from services.common.jobs.port import JobSpec, JobStatus, Resources, Waiting
from services.common.secretfiles import Secrets
from services.training.chatlimits import ON_ONE_MACHINE, Limits
from services.training.chats import Chats

HERE = "127.0.0.1:1"


class Cluster:
    """Jobs and objects of nobody: Jobs wait for ever, every object may be read."""

    def __init__(self, *left: JobSpec, why: str = "UNSCHEDULABLE") -> None:
        self.jobs = {spec.name: spec for spec in left}
        self.why = why
        self.away = 0
        self.granted = 0

    async def list(self) -> list[JobStatus]:
        """List the Jobs, once it is not away."""
        if self.away:
            self.away -= 1
            raise Unavailable("Nobody is there. Wait.")
        return [JobStatus(spec.name, "PENDING", labels=spec.labels) for spec in self.jobs.values()]

    async def get(self, name: str) -> JobStatus | None:
        """Return a Job that waits."""
        return JobStatus(name, "PENDING", waiting=Waiting(self.why, "No room. Wait.")) if name in self.jobs else None

    async def ensure(self, spec: JobSpec) -> None:
        """Take a Job."""
        self.jobs[spec.name] = spec

    async def delete(self, name: str) -> None:
        """Forget a Job."""
        self.jobs.pop(name, None)

    async def grant(self, key: str, mode: str) -> str:
        """Return a URL."""
        self.granted += 1
        return f"https://store/{key}?{self.granted}"


class Deaf(Cluster):
    """Jobs run for ever."""

    async def get(self, name: str) -> JobStatus | None:
        """Return a Job that runs."""
        return JobStatus(name, "RUNNING")


async def run(name: str) -> dict[str, Any]:
    """A run that has succeeded."""
    kept = ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    paper = ["tensorboard/events.out.tfevents.0000000000", "report.md", "evaluation.json"]
    files = [{"filename": file, "size_bytes": 1, "sha256": "", "key": file} for file in (*kept, *paper)]
    doc = {"_id": name, "uid": "1", "work": {"state": "SUCCEEDED"}, "artifacts": files, "config": {}, "priority": 7}
    return {**doc, "model_location": "/m", "model_revision": "", "model": "models/m"}


def chats_on(cluster: Any, tmp_path: Path, limits: Limits = ON_ONE_MACHINE) -> Chats:
    """Chats about the run that has succeeded."""
    signer = Signer(Secrets(tmp_path / "secrets").key("signing.key"))
    return Chats(run, lambda doc: Resources(), cluster, cluster, signer, HERE, limits=limits)
