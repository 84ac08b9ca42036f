"""What the end of a Job means for work that has not ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.documents.port import Document
from services.common.errors import Exhausted, FineTuneFlowError, NotReady, Unavailable, from_document
from services.common.jobs.port import JobStatus, Waiting
from services.common.jobwork import state

EXIT_TERMINATED = 143
"""What a trainer exits with after SIGTERM, once its checkpoint is saved."""
EXIT_SUPERSEDED = 4
"""What a trainer exits with when a later attempt has taken over."""
EXIT_KILLED = 137

_GRACEFUL = (EXIT_TERMINATED, EXIT_SUPERSEDED)
_NOT_ITS_FAULT = frozenset({"NODE_LOST", "EVICTED"})
_TAIL_LINES = 5
_TAIL_CHARACTERS = 500
_REMEDIES = {
    "NODE_LOST": "Its node does not answer. Another Job goes on from the newest checkpoint; wait.",
    "EVICTED": "It was evicted or preempted. Another Job goes on from the newest checkpoint; wait.",
    "OOM_KILLED": "It was ended for using more memory than its limit. Another Job goes on from the newest checkpoint; "
    "should that happen again, ask for more memory, or lower per_device_train_batch_size or max_length.",
    "DEADLINE_EXCEEDED": "It ran longer than its active_deadline_seconds. Allow more time; checkpoints are kept.",
}


def again(doc: Document, status: JobStatus | None, restarts: bool) -> bool:
    """Count the end of a Job and return whether another may be launched.

    A Job that was asked to stop, that gave way to another, or that left a newer checkpoint than the one it began from,
    has not failed; one whose node was lost or that was evicted does not count at all. Of Jobs that the runner restarts
    by itself, one failure without progress is the last; otherwise the third in a row.

    Args:
        status: how it ended; None for one that somebody deleted.
    """
    reason = status.reason if status else "DELETED"
    if reason in _NOT_ITS_FAULT:
        return True
    if reason == "DEADLINE_EXCEEDED":
        return False
    progressed = state.newest_step(doc) > doc["launch_step"]
    if _graceful(status) or progressed:
        doc["failures"] = 0
        return True
    doc["failures"] += 1
    return bool(doc["failures"] < (1 if restarts and status else state.MAX_FAILURES))


def waiting(doc: Document, status: JobStatus | None) -> Waiting | None:
    """Return why nothing runs after a Job has ended and before the next one works; None for one asked to stop."""
    if status is None:
        return Waiting("DELETED", "Its Job was deleted by hand. Another is made; to end the work, cancel it.")
    if status.reason in _NOT_ITS_FAULT or status.reason == "OOM_KILLED":
        return Waiting(status.reason, status.message or _REMEDIES[status.reason])
    if _graceful(status):
        return None
    cause = doc["last_error"]["message"] if doc["last_error"] else f"The trainer {_ending(status)} without a result."
    tries = f" It is started again, {doc['failures']} of {state.MAX_FAILURES} times without progress so far."
    return Waiting("CRASHED", cause + (tries if doc["failures"] else " It is started again.") + " See `ftf logs`.")


def error(doc: Document, status: JobStatus | None, restarts: bool, lines: Sequence[str]) -> FineTuneFlowError:
    """Return what work fails with for which no other Job is launched.

    Args:
        lines: the end of its log.
    """
    if status is None:
        return NotReady(
            f"Its Job was deleted by hand, {state.MAX_FAILURES} times in a row. Start it anew; to end it, cancel it.",
            reason="TRAINER_CRASHED",
        )
    kept = f" The newest checkpoint is of step {state.newest_step(doc)}." if doc["checkpoints"] else ""
    if status.reason == "DEADLINE_EXCEEDED":
        return NotReady((status.message or _REMEDIES[status.reason]) + kept, reason=status.reason)
    if status.reason == "OOM_KILLED":
        return Exhausted(
            "The trainer was ended for using more memory than its limit. Ask for more memory, or lower "
            f"per_device_train_batch_size or max_length.{kept}",
            reason=status.reason,
        )
    if doc["last_error"]:
        return from_document(doc["last_error"])
    often = "and was restarted as often as the server allows" if restarts else f"{state.MAX_FAILURES} times in a row"
    tail = " | ".join(line.strip() for line in lines[-_TAIL_LINES:])[:_TAIL_CHARACTERS]
    return FineTuneFlowError(
        f"The trainer {_ending(status)} without a result, {often}. See `ftf logs`. Its last words: {tail}",
        reason="TRAINER_CRASHED",
    )


def unsaved(doc: Document, status: JobStatus | None) -> FineTuneFlowError | None:
    """Return why work that pauses has lost what its trainer had not saved; None where it has saved, or had nothing."""
    newest = doc["attempts"][-1] if doc["attempts"] else None
    if newest is None or newest.get("launch", doc["launch"]) != doc["launch"]:
        return None  # the Job of this launch has begun nothing; what an earlier one lost was told then
    if doc["last_error"]:
        return from_document(doc["last_error"])
    if status is None or status.exit_code == 0 or _graceful(status):
        return None
    return Unavailable(
        f"The trainer {_ending(status)} before it had saved. Resume it: it goes on from step {state.newest_step(doc)} "
        "and makes the steps since then again; if that happens again, see `ftf logs`."
    )


def _graceful(status: JobStatus | None) -> bool:
    return status is not None and (status.exit_code in _GRACEFUL or status.reason == "STOPPED")


def _ending(status: JobStatus) -> str:
    if status.exit_code is None:
        return "was killed"
    return "was killed (137)" if status.exit_code == EXIT_KILLED else f"exited with {status.exit_code}"
