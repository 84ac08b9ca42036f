"""The work of an import: the file is read by a confined process, its good rows are stored, and the dataset frozen."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from services.common.confined.cold import Cold, child_environment
from services.common.confined.endings import Broken, Overrun
from services.common.confined.limits import Limits
from services.common.confined.running import Command, run
from services.common.documents.port import Document
from services.common.errors import Exhausted, InvalidArgument, NotReady
from services.common.objects.port import Objects
from services.common.protoform import count_to_document
from services.common.resources import Mutate, Resources
from services.common.work import Cancelled, Claim, Superseded
from services.dataset.core import ledger
from services.dataset.core.formats.catalog import FORMATS
from services.dataset.core.formats.incoming import DUPLICATE
from services.dataset.freezing import Freezer, line_of
from services.dataset.lines import Lines, blocks, scratch
from services.dataset.store import Examples
from services.dataset.textspec import is_text

READER = "services.dataset.reader"
TELL_SECONDS = 0.5
BATCH_ROWS = 500
BATCH_BYTES = 4 << 20
"""Rows are stored in batches that end when they have so many of either."""

Handler = Callable[[Claim], Awaitable[Mutate]]


async def run_reader(job: dict[str, Any], folder: Path, limits: Limits) -> dict[str, Any]:
    """Read a file in a process of its own; see confined.running.run."""
    note = folder / "job.json"
    note.write_text(json.dumps(job), encoding="utf-8")
    return await run(Cold(child_environment(os.environ)), Command(READER, note), limits)


class Importer:
    """Does the work of an imported dataset; see services.common.workloop.Handler.

    Args:
        scratch: an existing folder for the files of running child processes.
        limits: what one of them may use.
    """

    def __init__(
        self,
        datasets: Resources,
        examples: Examples,
        objects: Objects,
        freezer: Freezer,
        scratch: Path,
        limits: Limits,
    ) -> None:
        self._datasets = datasets
        self._examples = examples
        self._objects = objects
        self._freezer = freezer
        self._scratch = scratch
        self._limits = limits

    async def __call__(self, claim: Claim) -> Mutate:
        """Read, store and freeze. An attempt that takes over from a killed one stores the same examples.

        Raises:
            InvalidArgument: IMPORT_REFUSED, IMPORT_NOT_TEXT, IMPORT_FORMAT_UNKNOWN or IMPORT_COLUMN_UNKNOWN.
            NotReady: no row is good (NO_ACCEPTED_EXAMPLES).
            Exhausted: IMPORT_LIMIT.
        """
        await claim.progress("read", 0, 0, "rows")
        async with scratch(self._scratch) as folder:
            found = await self._read(claim, folder)
            report = await self._keep_report(claim.doc, folder / "report") if found["dropped"] else None
            counts = balances(found)
            kind = "DATASET_KIND_" + FORMATS[found["format"]].kind

            def tell(doc: Document) -> None:
                doc["counts"], doc["kind"] = counts, kind
                doc["import"] = {
                    **doc["import"],
                    **{name: found[name] for name in ("format", "encoding", "ignored", "problems")},
                    "report": report,
                    "read": True,
                    "stored": True,
                }

            await claim.update(tell)
            _refuse(claim.doc, found)
            lines = Lines(folder)
            sides = await self._store(claim, folder, found["good"], lines)
            steps = await asyncio.to_thread(_ledger, counts, folder / "report", sides)
            return await self._freezer.imported(claim.doc, tell, lines, sides, steps)

    async def _read(self, claim: Claim, folder: Path) -> dict[str, Any]:
        source, doc = folder / "source", claim.doc
        with source.open("wb") as file:
            async for block in self._objects.get(doc["import"]["key"]):
                await asyncio.to_thread(file.write, block)
        names = ("filename", "format", "encoding", "mapping", "split_column")
        job = {
            **{name: doc["import"][name] for name in names},
            **{name: doc["spec"][name] for name in ("eval_fraction", "recall_fraction")},
            **{name: str(folder / name) for name in ("source", "rows", "sides", "report", "told")},
            "limits": asdict(self._limits),
        }
        telling = asyncio.create_task(_tell(claim, folder / "told"))
        try:
            return await run_reader(job, folder, self._limits)
        except Overrun as error:
            raise Exhausted(f"Reading the file took more {error}. Split it.", reason="IMPORT_LIMIT") from error
        except Broken as error:
            raise InvalidArgument(
                f"The file broke the program that reads it ({error}). Write it in another encoding.",
                reason="IMPORT_REFUSED",
            ) from error
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _keep_report(self, doc: Document, path: Path) -> Document:
        size = path.stat().st_size
        with path.open("rb") as file:
            sha256 = (await asyncio.to_thread(hashlib.file_digest, file, "sha256")).hexdigest()
        key = f"datasets/{doc['uid']}/report-{sha256}.jsonl"
        await self._objects.put(key, blocks(path))
        return {"filename": "report.jsonl", "size_bytes": size, "sha256": sha256, "key": key}

    async def _store(self, claim: Claim, folder: Path, total: int, lines: Lines) -> Counter[str]:
        """Store the good rows as examples, give their lines to the version's file, and return how many are on a side.

        What an attempt that was killed has stored is there already, and stays.
        """
        done: Counter[str] = Counter()
        try:
            with (folder / "rows").open("rb") as rows, (folder / "sides").open("rb") as sides:
                following = await asyncio.to_thread(_some, claim.doc, rows, sides)
                while entries := following:
                    _, _, following = await asyncio.gather(
                        self._examples.resources.create_many(entries, creator=claim.doc["creator"]),
                        asyncio.to_thread(_freeze, lines, entries, claim.doc["spec"]),
                        asyncio.to_thread(_some, claim.doc, rows, sides),
                    )
                    done.update(example["split"] for _, example in entries)
                    await claim.progress("store", done.total(), total, "rows")
        except (Cancelled, Superseded, asyncio.CancelledError):
            await asyncio.shield(self._given_up(claim))
            raise
        return done

    async def _given_up(self, claim: Claim) -> None:
        """Leave nothing behind of an import that was deleted; what a cancelled one stored is for Imports.sweep."""
        doc = await self._datasets.collection.get(claim.name)
        if doc is None or doc["delete_time"] is not None:
            await self._examples.delete(claim.doc["uid"])


def by_origin(generate: Handler, read: Handler, take: Handler) -> Handler:
    """Return the handler of datasets of every origin: generated, imported, or the text of documents."""

    async def handle(claim: Claim) -> Mutate:
        if claim.doc.get("import"):
            return await read(claim)
        return await (take if is_text(claim.doc) else generate)(claim)

    return handle


def balances(found: dict[str, Any]) -> list[Document]:
    """Return what became of the rows that a reader found: of the good and bad ones, and of those that are doubles."""
    dropped: Counter[str] = Counter(found["dropped"])
    doubles = dropped.pop(DUPLICATE, 0)
    valid = found["good"] + doubles
    return [
        count_to_document("rows", found["rows"], valid, dict(dropped)),
        count_to_document("examples", valid, found["good"], {DUPLICATE: doubles} if doubles else {}),
    ]


def _refuse(doc: Document, found: dict[str, Any]) -> None:
    """Refuse what is not to be taken."""
    bad = {reason: n for reason, n in found["dropped"].items() if reason != DUPLICATE}
    drops = ", ".join(f"{reason} {count:,}" for reason, count in sorted(bad.items()))
    report = f"See them with `ftf dataset problems {doc['_id'].rpartition('/')[2]}`"
    if doc["import"]["strict"] and bad:
        raise InvalidArgument(
            f"{sum(bad.values()):,} of {found['rows']:,} rows are bad ({drops}). {report}; correct them, or import "
            "without strict to take the others.",
            reason="IMPORT_REFUSED",
        )
    if not found["good"]:
        why = f" ({drops}). {report}, correct them" if drops else ". Choose another file"
        raise NotReady(f"None of {found['rows']:,} rows is good{why}.", reason="NO_ACCEPTED_EXAMPLES")


def _example(dataset: Document, row: dict[str, Any]) -> Document:
    source = dataset["import"]
    number = row.pop("row")
    return {
        **row,
        "parent": dataset["_id"],
        "dataset_uid": dataset["uid"],
        "call_index": number,
        "chunk": "",
        "file": "",
        "file_name": source["filename"],
        "evidence": "",
        "evidence_span": {"start": 0, "end": 0},
        "place": None,
        "accepted": True,
        "drop_reason": "",
        "drop_detail": "",
        "edited": False,
        "prompt_version": "",
        "llm": "",
        "reply_tokens": 0,
        "imported": {"filename": source["filename"], "sha256": source["sha256"], "row": number},
    }


def _some(dataset: Document, rows: BinaryIO, sides: BinaryIO) -> list[tuple[str, Document]]:
    """Return names and fields of the next examples, as many as are stored at once; the same at every attempt."""
    found: list[tuple[str, Document]] = []
    size = 0
    while len(found) < BATCH_ROWS and size < BATCH_BYTES and (line := rows.readline()):
        row = json.loads(line)
        name = f"{dataset['_id']}/examples/{row.pop('id')}"
        found.append((name, {**_example(dataset, row), "split": sides.readline().decode().strip()}))
        size += len(line)
    return found


def _freeze(lines: Lines, entries: list[tuple[str, Document]], spec: Document) -> None:
    lines.add(line_of({**example, "_id": name}, spec) for name, example in entries)


def _ledger(counts: list[Document], report: Path, sides: Counter[str]) -> list[Document]:
    known: dict[str, list[ledger.Row]] = {}
    with report.open("rb") as problems:
        ledger.add_named(known, map(json.loads, problems))
    return [step.to_document() for step in ledger.imported(counts, known, sides)]


async def _tell(claim: Claim, told: Path) -> None:
    """Say again and again how far the reader is, until cancelled."""
    while True:
        await asyncio.sleep(TELL_SECONDS)
        with contextlib.suppress(OSError, ValueError):
            await claim.progress("read", int(told.read_text()), 0, "rows")
