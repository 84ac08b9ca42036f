"""The part of a resource's document that a Job's work adds, and the rules of its change. Pure.

    QUEUED    no Job yet, or a Job without a live process: `work.waiting` says why
    STARTING  the Job's process lives, and has not begun its attempt
    RUNNING   an attempt has begun

                 the Job runs         BeginAttempt
    QUEUED ─────────────────▶ STARTING ─────────▶ RUNNING ─▶ SUCCEEDED | FAILED   (FinishAttempt)
       ▲  ▲   its pod is gone │                     │ │
       │  └───────────────────┴─────────────────────┘ │
       └── next launch: the Job has ended or is gone, and the work has attempts left; otherwise FAILED
    any of them ─▶ CANCELLING ─▶ CANCELLED, once no Job runs any more
    any of them ─▶ PAUSING ─▶ PAUSED, in the same way; its Job saves a checkpoint, from which the next launch goes on

Every arrow is one compare-and-set on the document as it was seen (launch, state, attempt), so that of two replicas that
decide the same, one does it, and one that slept over a change does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.common.documents.port import Document
from services.common.errors import NotFound, NotReady
from services.common.jobs.port import Waiting
from services.common.work import ASKED_TO_STOP, at_rest, ended, queued
from services.common.work import pause as pause_work

MAX_FAILURES = 3
STORIES = frozenset({"DELETED", "NODE_LOST", "EVICTED", "OOM_KILLED", "CRASHED"})
"""Reasons that tell what became of the process before; that the next one is being started says less."""


def new_job_fields() -> Document:
    """Return the fields of work that no Job was launched for yet.

    launch: Jobs launched so far; the Job's name holds it. job_seen: the last launch whose Job was seen to be there.
    failures: Jobs in a row that ended without progress.
    """
    return {
        "launch": 0,
        "job_seen": 0,
        "failures": 0,
        "launch_step": 0,
        "attempts": [],
        "checkpoints": [],
        "last_metrics": None,
        "result": None,
        "artifacts": [],
        "last_error": None,
        "packed": "",
        "packed_reports": None,
    }


def job_name(kind: str, doc: Document) -> str:
    """Return the name of the Job of the current launch: deterministic, so that launching twice makes one."""
    return f"{kind}-{doc['uid']}-{doc['launch']}"


def newest_step(doc: Document) -> int:
    """Return the step that the next attempt begins at: that of the newest complete checkpoint, or 0."""
    if doc["checkpoints"]:
        return int(doc["checkpoints"][-1]["step"])
    start = start_of(doc)
    return int(start["checkpoint"]["step"]) if start and not start["weights_only"] else 0


def start_of(doc: Document) -> Document | None:
    """Return what the next attempt takes over from other work, if it does: `checkpoint` and `weights_only`."""
    return None if doc["checkpoints"] else doc.get("start")


def pin(doc: Document, checkpoint: Document) -> None:
    """Keep a checkpoint for as long as the work, for other work begins from it.

    Raises:
        NotFound: it is not kept any more.
    """
    same = [c for c in doc["checkpoints"] if (c["step"], c["attempt"]) == (checkpoint["step"], checkpoint["attempt"])]
    if not same:
        raise NotFound(f"{doc['_id']} no longer has its checkpoint of step {checkpoint['step']}. Use a newer one.")
    same[0]["pinned"] = True


def check_attempt(doc: Document, attempt: int) -> None:
    """Refuse a trainer that is not the current one.

    Raises:
        NotReady: a later attempt has begun (SUPERSEDED), or the work has ended (WORK_ENDED).
    """
    if doc["work"]["attempt"] != attempt:
        raise NotReady("A later attempt has taken over. The trainer exits.", reason="SUPERSEDED")
    if ended(doc["work"]):
        raise NotReady(f"{doc['_id']} has ended. The trainer exits.", reason="WORK_ENDED")


def begin(doc: Document, pod_uid: str, launch: int, now: float) -> None:
    """Open the next attempt, unless pod_uid has the current one. Its `after_seq` is for `settle` to find.

    Args:
        launch: the launch that the process is of; 0 if it does not say.

    Raises:
        NotReady: the work has ended or was asked to end or to pause (WORK_ENDED), or a later launch has been made
            (SUPERSEDED).
    """
    work = doc["work"]
    if at_rest(work) or work["state"] in ASKED_TO_STOP:
        raise NotReady(f"{doc['_id']} has ended or pauses. The trainer exits.", reason="WORK_ENDED")
    if doc["attempts"] and doc["attempts"][-1]["pod_uid"] == pod_uid:
        return
    if 0 < launch < doc["launch"]:
        raise NotReady("A later Job has taken over. The trainer exits.", reason="SUPERSEDED")
    doc["last_error"] = None
    work.update(attempt=work["attempt"] + 1, state="RUNNING", start_time=work["start_time"] or now, waiting=None)
    doc["attempts"] = [
        *doc["attempts"],
        {
            "attempt": work["attempt"],
            "pod_uid": pod_uid,
            "launch": doc["launch"],
            "start_time": now,
            "from_step": newest_step(doc),
            "after_seq": 0,
            "settled": False,
        },
    ]


def settled(attempt: Document) -> bool:
    """Whether an attempt's `after_seq` is known: the last seq that counts of the attempts before it."""
    return bool(attempt.get("settled", True))


def settle(doc: Document, stored: Mapping[int, int]) -> None:
    """Fix where each attempt's reports begin.

    Args:
        stored: attempt → the highest seq of its own reports, read after that attempt was superseded: no report of it
            is acknowledged from then on, so none that counts comes later.
    """
    last = 0
    for entry in doc["attempts"]:
        if not settled(entry):
            entry.update(after_seq=last, settled=True)
        if entry["attempt"] not in stored:  # the newest then; what follows is for whoever began it
            return
        last = max(last, int(entry["after_seq"]), stored[entry["attempt"]])


def is_unseen(doc: Document) -> bool:
    """Whether the current attempt, of which something is heard, is of work that is taken to have no process.

    An attempt of an earlier launch changes nothing: it works on, cut off from what runs Jobs, until the next begins.
    """
    launch = doc["attempts"][-1].get("launch", doc["launch"]) if doc["attempts"] else 0
    return doc["work"]["state"] in ("QUEUED", "STARTING") and launch == doc["launch"]


def add_checkpoint(doc: Document, checkpoint: Document, keep: int) -> list[Document]:
    """Add a checkpoint and return those that are now too old. One that is there already changes nothing.

    The best one stays beside the newest, and so do the newest that was not taken while the loss ran away, and those
    that other work began from.
    """
    known = {(c["attempt"], c["step"]) for c in doc["checkpoints"]}
    if (checkpoint["attempt"], checkpoint["step"]) in known:
        return []
    older = doc["checkpoints"]
    if checkpoint.get("best"):
        older = [{**c, "best": False} for c in older]
    newer = sorted([*older, checkpoint], key=lambda c: (c["step"], c["attempt"]))
    good = next((c for c in reversed(newer) if not c.get("diverging")), None)
    stays = [c for c in newer[:-keep] if c.get("best") or c.get("pinned") or c is good]
    doc["checkpoints"] = [*stays, *newer[-keep:]]
    return [c for c in newer[:-keep] if c not in stays]


def best_checkpoint(doc: Document) -> Document | None:
    """Return the best complete checkpoint, if one is said to be that."""
    return next((c for c in doc["checkpoints"] if c.get("best")), None)


def good_step(doc: Document) -> int:
    """Return the step of the newest checkpoint that was not taken while the loss ran away, or 0."""
    return next((int(c["step"]) for c in reversed(doc["checkpoints"]) if not c.get("diverging")), 0)


def wait(doc: Document, waiting: Waiting | None, now: float) -> None:
    """Say why nothing is at work, or with None that nothing is known; the time stays while the reason does."""
    work = doc["work"]
    old = work.get("waiting")
    if old and old["reason"] in STORIES and (waiting is None or waiting.reason == "STARTING"):
        return
    since = old["since"] if old and waiting and old["reason"] == waiting.reason else now
    told = {"reason": waiting.reason, "message": waiting.message, "position": waiting.position} if waiting else None
    work["waiting"] = {**told, "since": since} if told else None


def launch(doc: Document) -> None:
    """Move on to the next Job."""
    doc.update(launch=doc["launch"] + 1, launch_step=newest_step(doc))
    doc["work"]["state"] = "QUEUED"


def pause(doc: Document) -> None:
    """Ask work to pause: at once if no Job was launched for it, else by PAUSING. Work at rest or ending stays."""
    if doc["work"]["state"] == "QUEUED" and doc["launch"]:
        doc["work"].update(state="PAUSING", waiting=None)
    else:
        pause_work(doc["work"])


def resume(doc: Document, now: float) -> None:
    """Let paused work go on with its next launch; PAUSING is taken back. Work that is not paused stays as it is.

    What its Job then does decides: one that was stopped already is followed by another.
    """
    work = doc["work"]
    if work["state"] == "PAUSING":
        work["state"] = "STARTING"
    elif work["state"] == "PAUSED":
        doc["work"] = {**queued(now, work["attempt"]), "start_time": work["start_time"], "lease": work["lease"]}
        doc["failures"] = 0
        if doc["launch"]:
            launch(doc)
