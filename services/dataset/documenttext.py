"""The work of a dataset that is the text of documents: chunks become rows as they are, and no LLM is asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from services.common import ids
from services.common.documents.port import Document
from services.common.errors import NotReady
from services.common.protoform import count_to_document
from services.common.resources import Mutate, Resources
from services.common.work import Cancelled, Claim, Superseded
from services.dataset.core.example import Source, Verdict
from services.dataset.core.ledger import NO_SIDE
from services.dataset.core.masking import WITHHELD
from services.dataset.core.rawtext import OVERLAP, Judging, pages, texts
from services.dataset.freezing import Freezer
from services.dataset.ports import Document as File
from services.dataset.ports import Documents
from services.dataset.sources import sources_of
from services.dataset.store import Examples

BATCH = 100
"""Rows that are judged and stored at once."""
Entry = tuple[str, Document]


class DocumentTexts:
    """Does the work of such a dataset; see services.common.workloop.Handler."""

    def __init__(self, datasets: Resources, documents: Documents, examples: Examples, freezer: Freezer) -> None:
        self._datasets = datasets
        self._documents = documents
        self._examples = examples
        self._freezer = freezer

    async def __call__(self, claim: Claim) -> Mutate:
        """Take the chunks once each, judge, split and freeze. An attempt after a killed one makes the same rows.

        Raises:
            NotReady: NOT_CHUNKED, or no row is left (NO_ACCEPTED_EXAMPLES).
            NotFound: a file was deleted meanwhile.
        """
        began, earlier = time.monotonic(), float(claim.doc["usage"]["seconds"])
        files = [File(**file) for file in claim.doc["files"]]
        await claim.progress("read", 0, 0, "chunks")
        sources = await sources_of(self._documents, files)
        found = await asyncio.to_thread(texts, sources, claim.doc["spec"].get("pii_policy", {}))
        kept = [source for source in found if source.text.strip()]
        try:
            rows = await self._store(claim, kept)
        except (Cancelled, Superseded, asyncio.CancelledError):
            await asyncio.shield(self._given_up(claim))
            raise
        left_out = {source.chunk: source.withheld for source in found if not source.text.strip()}
        await self._freezer.accounts.keep_texts(claim, found, {row["chunk"]: _short(name) for name, row in rows})
        counts = _counts(len(found), left_out.values(), rows)
        flags = dict(Counter(flag for _, row in rows if row["accepted"] for flag in row["flags"]))

        def final(doc: Document) -> None:
            doc["counts"], doc["flags"] = counts, flags
            doc["usage"] = {**doc["usage"], "seconds": earlier + time.monotonic() - began}

        await claim.update(final)
        if not any(row["accepted"] for _, row in rows):
            raise NotReady(
                f"No text of {len(found):,} chunks is left. See why with `ftf dataset ledger`; send other documents, "
                "or mask personal data instead of dropping it.",
                reason="NO_ACCEPTED_EXAMPLES",
            )
        return await self._freezer.first_version(claim.doc, final)

    async def _store(self, claim: Claim, sources: Sequence[Source]) -> list[Entry]:
        """Judge texts and store them as examples; return what their ledger needs, in order."""
        judging = Judging(claim.doc["spec"])
        told: list[Entry] = []
        for first in range(0, len(sources), BATCH):
            some = sources[first : first + BATCH]
            verdicts = await asyncio.to_thread(judging.judge, some)
            judged = enumerate(zip(some, verdicts, strict=True), first)
            entries = [_entry(claim.doc, index, *row) for index, row in judged]
            await self._examples.resources.create_many(entries, creator=claim.doc["creator"])
            told += [(name, {key: row[key] for key in _TOLD}) for name, row in entries]
            await claim.progress("store", len(told), len(sources), "rows")
        # An earlier attempt may have found other chunks.
        await self._examples.keep_named(claim.doc, {name for name, _ in told})
        return told

    async def _given_up(self, claim: Claim) -> None:
        """Leave nothing behind of a dataset that was deleted."""
        doc = await self._datasets.collection.get(claim.name)
        if doc is None or doc["delete_time"] is not None:
            await self._examples.delete(claim.doc["uid"])


_TOLD = ("chunk", "accepted", "drop_reason", "flags")


def _entry(dataset: Document, index: int, source: Source, verdict: Verdict) -> Entry:
    """Return the name and the fields of a row. The name is decided by what the row says and what is said of it."""
    spans = json.dumps(source.spans)
    id = ids.derived_id("e", source.chunk, source.text_sha256, spans, verdict.response, verdict.drop_reason)
    start, end = source.spans[0][0], source.spans[-1][1]
    fields = {
        "parent": dataset["_id"],
        "dataset_uid": dataset["uid"],
        "call_index": index,
        "prompt": "",
        "response": verdict.response,
        "raw": True,
        "chunk": source.chunk,
        "file": source.file,
        "file_name": source.file_name,
        "evidence": "",
        "evidence_span": {"start": start, "end": end},
        "place": source.place(start),
        "pages": pages(source),
        "accepted": verdict.accepted,
        "drop_reason": verdict.drop_reason,
        "drop_detail": verdict.detail,
        "task_type": "text",
        "language": source.language,
        "split": NO_SIDE,
        "edited": False,
        "flags": list(verdict.flags),
        "flagged": dict.fromkeys(verdict.flags, True),
        "prompt_version": "",
        "llm": "",
        "reply_tokens": 0,
    }
    return f"{dataset['_id']}/examples/{id}", fields


def _counts(chunks: int, withheld: Iterable[str], rows: Sequence[Entry]) -> list[Document]:
    """Return what became of chunks and of rows."""
    bare = Counter(WITHHELD if kinds else OVERLAP for kinds in withheld)
    dropped = Counter(row["drop_reason"] for _, row in rows if not row["accepted"])
    return [
        count_to_document("chunks", chunks, len(rows), dict(sorted(bare.items()))),
        count_to_document("examples", len(rows), len(rows) - dropped.total(), dict(sorted(dropped.items()))),
    ]


def _short(name: str) -> str:
    return name.rpartition("/")[2]
