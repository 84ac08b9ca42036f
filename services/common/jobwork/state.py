"""The part of a resource's document that a Job's work adds, and the rules of its change."""

from __future__ import annotations

from services.common.documents.port import Document
from services.common.errors import NotReady
from services.common.work import ended

MAX_FAILURES = 3


def new_job_fields() -> Document:
    """Return the fields of work that no Job was launched for yet.

    launch: Jobs launched so far; the Job's name holds it. failures: Jobs in a row that ended without progress.
    """
    return {
        "launch": 0,
        "failures": 0,
        "launch_step": 0,
        "attempts": [],
        "checkpoints": [],
        "last_metrics": None,
        "result": None,
        "artifacts": [],
        "last_error": None,
    }


def job_name(kind: str, doc: Document) -> str:
    """Return the name of the Job of the current launch: deterministic, so that launching twice makes one."""
    return f"{kind}-{doc['uid']}-{doc['launch']}"


def newest_step(doc: Document) -> int:
    """Return the step of the newest complete checkpoint, or 0."""
    return int(doc["checkpoints"][-1]["step"]) if doc["checkpoints"] else 0


def check_attempt(doc: Document, attempt: int) -> None:
    """Refuse a trainer that is not the current one.

    Raises:
        NotReady: a later attempt has begun (SUPERSEDED), or the work has ended (WORK_ENDED).
    """
    if doc["work"]["attempt"] != attempt:
        raise NotReady("A later attempt has taken over. The trainer exits.", reason="SUPERSEDED")
    if ended(doc["work"]):
        raise NotReady(f"{doc['_id']} has ended. The trainer exits.", reason="WORK_ENDED")


def begin(doc: Document, pod_uid: str, after_seq: int, now: float) -> None:
    """Open the next attempt, unless pod_uid has the current one.

    Raises:
        NotReady: the work has ended or is being cancelled (WORK_ENDED).
    """
    work = doc["work"]
    if ended(work) or work["state"] == "CANCELLING":
        raise NotReady(f"{doc['_id']} has ended. The trainer exits.", reason="WORK_ENDED")
    if doc["attempts"] and doc["attempts"][-1]["pod_uid"] == pod_uid:
        return
    doc["last_error"] = None
    work.update(attempt=work["attempt"] + 1, state="RUNNING", start_time=work["start_time"] or now)
    doc["attempts"] = [
        *doc["attempts"],
        {
            "attempt": work["attempt"],
            "pod_uid": pod_uid,
            "start_time": now,
            "from_step": newest_step(doc),
            "after_seq": after_seq,
        },
    ]


def add_checkpoint(doc: Document, checkpoint: Document, keep: int) -> list[Document]:
    """Add a checkpoint and return those that are now too old. One that is there already changes nothing."""
    known = {(c["attempt"], c["step"]) for c in doc["checkpoints"]}
    if (checkpoint["attempt"], checkpoint["step"]) in known:
        return []
    newer = sorted([*doc["checkpoints"], checkpoint], key=lambda c: (c["step"], c["attempt"]))
    doc["checkpoints"] = newer[-keep:]
    return newer[:-keep]


def count_failure(doc: Document, graceful: bool) -> bool:
    """Take note that a Job ended without finishing its work; return whether another may be launched.

    A Job that was asked to stop, or that left a newer checkpoint than the one it began from, has not failed.
    """
    progressed = newest_step(doc) > doc["launch_step"]
    doc["failures"] = 0 if graceful or progressed else doc["failures"] + 1
    return bool(doc["failures"] < MAX_FAILURES)


def launch(doc: Document) -> None:
    """Move on to the next Job."""
    doc.update(launch=doc["launch"] + 1, launch_step=newest_step(doc))
    doc["work"]["state"] = "QUEUED"
