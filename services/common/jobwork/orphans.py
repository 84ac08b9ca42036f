"""Jobs that belong to no work, and work without its Job."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.documents.port import Document
from services.common.jobs.port import JobRunner, JobStatus
from services.common.jobwork import state
from services.common.jobwork.host import Kind
from services.common.jobwork.reconciler import LIVE
from services.common.resources import Resources
from services.common.work import ended

SETTLING_SECONDS = 10.0
"""How long after work began to wait, or ended, its Job is still being made or cleared away."""


@dataclass(frozen=True)
class Orphan:
    """A Job without its work, or work without its Job.

    Args:
        job: name of the Job that is there, or that is missing.
        work: resource name; "" if the Job does not say.
        problem: what is wrong, for people.
    """

    job: str
    work: str
    problem: str


async def find_orphans(kind: Kind, resources: Resources, jobs: JobRunner) -> list[Orphan]:
    """Return what does not match now. The reconciler settles each by itself.

    Raises:
        Unavailable: what runs Jobs does not answer.
    """
    settled = resources.clock.now() - SETTLING_SECONDS
    statuses = [s for s in await jobs.list() if s.labels.get("kind") == kind.name]
    found = []
    for status in statuses:
        doc = await resources.collection.get(status.labels.get("work", ""))
        if orphan := _of_job(status, doc, settled):
            found.append(orphan)
    live = {s.name for s in statuses}
    for doc in await resources.collection.find({"work.state": {"$in": list(LIVE)}, "delete_time": None}, sort="order"):
        if doc["launch"] == 0 and doc["work"]["queue_time"] > settled:
            continue
        name = state.job_name(kind.name, {**doc, "launch": max(doc["launch"], 1)})
        if name not in live and await jobs.get(name) is None:
            found.append(Orphan(name, doc["_id"], f"{doc['_id']} is {doc['work']['state']} and has no Job."))
    return found


def _of_job(status: JobStatus, doc: Document | None, settled: float) -> Orphan | None:
    work = status.labels.get("work", "")
    if doc is None or doc["delete_time"] is not None or doc["uid"] != status.labels.get("uid"):
        return Orphan(status.name, work, "What it was made for does not exist any more.")
    if ended(doc["work"]):
        if doc["work"]["end_time"] > settled:
            return None
        return Orphan(status.name, work, f"{work} is {doc['work']['state']}.")
    if status.labels.get("launch") != str(doc["launch"]):
        return Orphan(status.name, work, f"{work} has gone on with Job {state.job_name(status.labels['kind'], doc)}.")
    return None
