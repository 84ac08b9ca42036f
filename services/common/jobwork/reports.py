"""The reports of trainers: one document per batch, read back as one series without gap or double."""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections.abc import Iterator, Sequence

from google.protobuf.json_format import MessageToDict, ParseDict

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.documents.port import Collection, Document
from services.common.errors import AlreadyExists, InvalidArgument
from services.common.jobwork import state
from services.common.objects.port import Objects
from services.common.work import ended

MAX_REPORTS = 1000
MAX_BYTES = 256 * 1024
INDEXES = ("uid", "attempt", "last")
_READ_BATCHES = 50
_READ_BLOCKS = 2
_LENGTH = 4


class ReportStore:
    """Reports by the work's uid and attempt.

    A later attempt numbers its reports from the seq that was stored when it began, which its entry in the work's
    `attempts` keeps as `after_seq`. What an earlier attempt sent past that is not part of the series.
    """

    def __init__(self, collection: Collection, objects: Objects) -> None:
        self._collection = collection
        self._objects = objects

    async def append(self, doc: Document, attempt: int, reports: Sequence[pb.Report]) -> int:
        """Store those reports that are new; return the highest seq stored. Repeating it changes nothing.

        Raises:
            InvalidArgument: more than 1,000 reports or 256 KiB, or seqs that do not rise.
        """
        stored = await self.last_seq(doc, attempt)
        if len(reports) > MAX_REPORTS or sum(r.ByteSize() for r in reports) > MAX_BYTES:
            raise InvalidArgument(
                f"A batch holds at most {MAX_REPORTS} reports and {MAX_BYTES} bytes. Send smaller ones."
            )
        if any(b.seq <= a.seq for a, b in itertools.pairwise(reports)):
            raise InvalidArgument("The seqs of a batch must rise. Send each report once, in order.")
        new = [r for r in reports if r.seq > stored]
        if not new:
            return stored
        batch: Document = {
            "_id": f"{doc['uid']}/{attempt:06d}/{new[0].seq:012d}",
            "uid": doc["uid"],
            "attempt": attempt,
            "first": new[0].seq,
            "last": new[-1].seq,
            "reports": [MessageToDict(r, preserving_proto_field_name=True) for r in new],
        }
        try:
            await self._collection.insert(batch)
        except AlreadyExists:
            return await self.last_seq(doc, attempt)
        return new[-1].seq

    async def last_seq(self, doc: Document, attempt: int) -> int:
        """Return the highest seq stored for an attempt, which begins at its `after_seq`; 0 before the first attempt."""
        if packed := doc.get("packed_reports"):
            return int(packed["last_seq"])
        for entry in reversed(doc["attempts"]):
            if entry["attempt"] > attempt:
                continue
            if newest := await self.newest(doc["uid"], entry["attempt"]):
                return newest
            if state.settled(entry):
                return int(entry["after_seq"])
        return 0

    async def newest(self, uid: str, attempt: int) -> int:
        """Return the highest seq stored of an attempt's own reports; 0 if it has none."""
        found = await self._collection.find({"uid": uid, "attempt": attempt}, sort="last", descending=True, limit=1)
        return int(found[0]["last"]) if found else 0

    async def read(self, doc: Document, after_seq: int) -> list[pb.Report]:
        """Return the next reports after a seq, in order, at most some fifty batches; empty at the end.

        What is read counts only if the document's attempts, and whether it is packed, are the same afterwards.
        """
        if packed := doc.get("packed_reports"):
            return await self._read_packed(packed, after_seq)
        for attempt, upper, known in _ranges(doc["attempts"]):
            if not known and not ended(doc["work"]):
                return []  # in a moment it is known how far this attempt counts
            if upper is not None and upper <= after_seq:
                continue
            where = {"uid": doc["uid"], "attempt": attempt, "last": {"$gt": after_seq}}
            batches = await self._collection.find(where, sort="last", limit=_READ_BATCHES)
            found = [
                _parse(entry, attempt)
                for batch in batches
                for entry in batch["reports"]
                if int(entry["seq"]) > after_seq and (upper is None or int(entry["seq"]) <= upper)
            ]
            if found:
                return found
        return []

    async def _read_packed(self, packed: Document, after_seq: int) -> list[pb.Report]:
        """Return the next reports of those that are one object; see packing."""
        index = packed["index"]
        first = max(bisect.bisect([seq for seq, _ in index], after_seq + 1) - 1, 0)
        places = [place for _, place in index[first : first + _READ_BLOCKS + 1]] or [0]
        length = places[-1] - places[0] if len(places) > _READ_BLOCKS else -1
        data = b"".join([block async for block in self._objects.get(packed["key"], places[0], length)])
        found, at = [], 0
        while at < len(data):
            end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
            found.append(pb.Report.FromString(data[at + _LENGTH : end]))
            at = end
        return [report for report in found if report.seq > after_seq]

    async def keep_summary(self, uid: str, points: Sequence[pb.MetricPoint]) -> None:
        """Keep the summary of a curve; the first stays."""
        doc: Document = {
            "_id": f"{uid}/summary",
            "summary_of": uid,
            "points": [MessageToDict(point, preserving_proto_field_name=True) for point in points],
        }
        with contextlib.suppress(AlreadyExists):
            await self._collection.insert(doc)

    async def summary(self, uid: str) -> list[pb.MetricPoint]:
        """Return the summary of a curve; empty before it is made."""
        doc = await self._collection.get(f"{uid}/summary")
        return [ParseDict(point, pb.MetricPoint()) for point in doc["points"]] if doc else []

    async def forget(self, uid: str) -> None:
        """Remove the batches of a piece of work. Repeating it does nothing."""
        while batches := await self._collection.find({"uid": uid}, limit=500):
            for batch in batches:
                await self._collection.delete(batch["_id"])

    async def delete(self, uid: str) -> None:
        """Remove every report of a piece of work, and their summary. Repeating it does nothing."""
        await self.forget(uid)
        await self._collection.delete(f"{uid}/summary")


def _ranges(attempts: Sequence[Document]) -> Iterator[tuple[int, int | None, bool]]:
    """Yield each attempt with the last seq that counts of it, None if there is no limit, and whether that is known."""
    for this, following in itertools.zip_longest(attempts, attempts[1:]):
        known = following is None or state.settled(following)
        yield this["attempt"], following["after_seq"] if following and known else None, known


def _parse(entry: Document, attempt: int) -> pb.Report:
    report = ParseDict(entry, pb.Report())
    report.attempt = attempt
    return report
