"""Numbers, times and states in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from finetuneflow.common.v1 import artifact_pb2, work_pb2


def no_examples(dataset: str, filter: str = "*") -> str:
    """Return the remark where nothing can be shown of a dataset, or nothing that a filter chooses."""
    return f"no examples: {dataset} has none" + ("" if filter == "*" else f" with {filter}")


_WAITS = {"ROOM": "waiting for room", "QUEUE": "waiting in its queue"}
"""Reasons that are no words for a state by themselves."""


def size(count: float) -> str:
    """Return bytes in decimal units: "538.1 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def memory(count: float) -> str:
    """Return bytes of memory in binary units, as systems state it: "23.5 GiB"."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def many(count: float, thing: str) -> str:
    """Return a count with its noun: "1 page", "1,204 pages"."""
    return f"{count:,.0f} {thing}" if count == 1 else f"{count:,.0f} {thing}s"


def duration(seconds: float) -> str:
    """Return a duration: "0.4 s", "42 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min"


def age(stamp: Timestamp) -> str:
    """Return how long ago something was, in one unit; empty for no time at all."""
    if not stamp.seconds:
        return ""
    past = max(time.time() - stamp.seconds, 0)
    for seconds, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if past >= 2 * seconds:
            return f"{past // seconds:.0f}{unit}"
    return f"{past:.0f}s"


def state(work: work_pb2.Work) -> str:
    """Return a work's state in lower case: "running"."""
    from finetuneflow.common.v1 import work_pb2 as pb

    return pb.WorkState.Name(work.state).removeprefix("WORK_STATE_").lower()


def waiting(work: work_pb2.Work, priority: int = 0) -> str:
    """Return why nothing is at work, since when, and the remedy: "place 2, waiting for room for 40 s: 2 Jobs…"; or "".

    Args:
        priority: of a run; shown where it is not that of all.
    """
    from finetuneflow.common.v1 import waiting_pb2

    if not work.HasField("waiting"):
        return ""
    reason = waiting_pb2.WaitingReason.Name(work.waiting.reason).removeprefix("WAITING_REASON_")
    since = work.waiting.since.seconds + work.waiting.since.nanos / 1e9
    named = _WAITS.get(reason) or reason.lower().replace("_", " ")
    place = f"place {work.waiting.position}, " if work.waiting.position else ""
    first = f"priority {priority}, " if priority else ""
    return f"{place}{first}{named} for {duration(time.time() - since)}: {' '.join(work.waiting.message.split())}"


def progress(work: work_pb2.Work) -> str:
    """Return how far work is: "generate 12/40 calls", and after it failed, or was paused for one, the reason."""
    from finetuneflow_client.errors import WorkPaused, from_work

    error = from_work(work, "")
    if error and not (isinstance(error, WorkPaused) and not error.reason):
        return error.reason or error.code
    at = work.progress
    if not at.phase or work.end_time.seconds:
        return ""
    return f"{at.phase} {counted(at.done, at.total, at.unit) or at.done or ''}".strip()


def counted(done: int, total: int, unit: str) -> str:
    """Return how many of how many: "12/40 calls", "1.2 MB of 3.0 MB"; empty if the total is not known."""
    if not total:
        return ""
    return f"{size(done)} of {size(total)}" if unit == "bytes" else f"{done:,}/{total:,} {unit}".strip()


def took(work: work_pb2.Work) -> str:
    """Return how long work has taken, or has been at it; empty before it started."""
    if not work.start_time.seconds:
        return ""
    end = work.end_time.seconds + work.end_time.nanos / 1e9 if work.end_time.seconds else time.time()
    return duration(end - work.start_time.seconds - work.start_time.nanos / 1e9)


def drops(dropped: list[tuple[str, int]]) -> str:
    """Return what was dropped, most first: "DUPLICATE 3, TOO_SHORT 1"."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped, key=lambda d: (-d[1], d[0])) if count)


def numbers(found: Sequence[int]) -> str:
    """Return rising numbers as people write them: "1-3, 7"; "" for none."""
    runs: list[list[int]] = []
    for number in found:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


def artifact(found: artifact_pb2.Artifact) -> tuple[str, str, str]:
    """Return an artifact as a row: file name, size, SHA-256."""
    return found.filename, size(found.size_bytes), found.sha256
