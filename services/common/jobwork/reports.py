"""The reports of trainers: one document per batch, read back as one series without gap or double."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from google.protobuf.json_format import MessageToDict, ParseDict

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.documents.port import Collection, Document
from services.common.errors import AlreadyExists, InvalidArgument
from services.common.jobwork import state
from services.common.work import ended

MAX_REPORTS = 1000
MAX_BYTES = 256 * 1024
INDEXES = ("uid", "attempt", "last")
_READ_BATCHES = 50


class ReportStore:
    """Reports by the work's uid and attempt.

    A later attempt numbers its reports from the seq that was stored when it began, which its entry in the work's
    `attempts` keeps as `after_seq`. What an earlier attempt sent past that is not part of the series.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

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

        What is read counts only if the document's attempts are the same afterwards.
        """
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

    async def delete(self, uid: str) -> None:
        """Remove every report of a piece of work. Repeating it does nothing."""
        while batches := await self._collection.find({"uid": uid}, limit=500):
            for batch in batches:
                await self._collection.delete(batch["_id"])


def _ranges(attempts: Sequence[Document]) -> Iterator[tuple[int, int | None, bool]]:
    """Yield each attempt with the last seq that counts of it, None if there is no limit, and whether that is known."""
    for this, following in itertools.zip_longest(attempts, attempts[1:]):
        known = following is None or state.settled(following)
        yield this["attempt"], following["after_seq"] if following and known else None, known


def _parse(entry: Document, attempt: int) -> pb.Report:
    report = ParseDict(entry, pb.Report())
    report.attempt = attempt
    return report
