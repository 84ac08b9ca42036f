"""Jobs, the runs of programs beside the services: the port, and the runner for one machine (`process`)."""

from __future__ import annotations

from services.common.jobs.port import JobRunner, JobSpec, JobStatus

__all__ = ["JobRunner", "JobSpec", "JobStatus"]
