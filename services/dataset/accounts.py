"""The accounts of a dataset: the plan that generation followed, kept as a file, and the ledger made from it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence

from services.common.documents.port import Document
from services.common.errors import NotFound
from services.common.objects.port import Objects
from services.common.work import Claim, Superseded
from services.dataset.core import near
from services.dataset.core.example import Source
from services.dataset.core.ledger import Planned, Step, before_examples, imported, ledger, short
from services.dataset.leftout import LeftOut
from services.dataset.ports import Documents
from services.dataset.spec import Plan
from services.dataset.store import Examples, example_id

_UNREAD: Document = {"text": None, "characters": None}


class Accounts:
    """Keeps plans and makes ledgers."""

    def __init__(self, documents: Documents, examples: Examples, objects: Objects) -> None:
        self.left_out = LeftOut(objects)
        self._documents = documents
        self._examples = examples
        self._objects = objects

    async def keep(self, claim: Claim, plan: Plan, sources: Sequence[Source]) -> None:
        """Keep what is there to generate from and what is to be asked. Repeating it keeps the same.

        Args:
            sources: all chunks, in order.

        Raises:
            Unavailable: the ingest service does not answer.
            Superseded, Cancelled: as Claim.update.
        """
        calls: dict[str, list[str]] = {source.chunk: [] for source in sources}
        for call in plan.calls:
            calls.setdefault(call.source.chunk, []).append(example_id(call))
        await self._keep(claim, sources, calls, plan.withheld, {"order": [example_id(call) for call in plan.calls]})

    async def keep_texts(self, claim: Claim, sources: Sequence[Source], rows: Mapping[str, str]) -> None:
        """Keep what is there of a dataset of raw text. Repeating it keeps the same. Raises as keep.

        Args:
            sources: all chunks, in order, as they are to be learnt.
            rows: the ids of their examples by the chunk's name; a chunk without text has none.
        """
        calls = {source.chunk: [rows[source.chunk]] if source.chunk in rows else [] for source in sources}
        withheld = {source.chunk: source.withheld for source in sources if source.withheld}
        await self._keep(claim, sources, calls, withheld, {"order": list(rows.values()), "raw": True})

    async def _keep(
        self,
        claim: Claim,
        sources: Sequence[Source],
        calls: Mapping[str, Sequence[str]],
        withheld: Mapping[str, str],
        more: Document,
    ) -> None:
        doc = claim.doc
        used = {f["name"] for f in doc["files"]}
        everything = doc.get("whole_project", False)
        files = await self._documents.facts(doc["parent"], sorted(used), everything)
        for file in files:
            file["used"] = file["name"] in used
            file["reason"] = "" if file["used"] else file["reason"] or "ADDED_LATER"
        gone = [{**file, "used": False, "reason": "DOCUMENT_DELETED", **_UNREAD} for file in doc.get("forgotten", ())]
        files = [*(f for f in files if f["name"] not in {g["name"] for g in gone}), *gone]
        texts: dict[str, list[str]] = {}
        for source in sources:
            texts.setdefault(source.file, []).append(source.text)
        sketches = await asyncio.to_thread(lambda: {name: near.sketch(found) for name, found in texts.items()})
        kept = {
            "files": files,
            "sketches": sketches,
            "chunks": [{"chunk": name, "calls": i, "withheld": withheld.get(name, "")} for name, i in calls.items()],
            **more,
        }
        content = await asyncio.to_thread(lambda: json.dumps(kept, sort_keys=True).encode())
        key = f"datasets/{doc['uid']}/plan-{hashlib.sha256(content).hexdigest()}.json"
        if doc.get("plan_key") != key:
            await self._objects.put(key, content)
            try:
                await claim.update(lambda d: d.update(plan_key=key))
            except Superseded as error:
                if isinstance(error.__cause__, NotFound):
                    await self._objects.delete(key)  # deleted meanwhile: what was written after the purge goes too
                raise

    async def steps(self, dataset: Document) -> list[Step]:
        """Return the ledger of a dataset as it is now."""
        newest = dataset["versions"][-1] if dataset["versions"] else {}
        return await self._ledger(dataset, bool(newest.get("approved_only", False)))

    async def frozen(self, dataset: Document, approved_only: bool) -> list[Document]:
        """Return the ledger that a version keeps; the examples have their sides already."""
        return [step.to_document() for step in await self._ledger(dataset, approved_only)]

    async def _ledger(self, dataset: Document, approved_only: bool) -> list[Step]:
        if dataset.get("import"):
            report = dataset["import"].get("report")
            problems = await self.left_out.first(report) if report else {}
            sides, others = await self._examples.sides(dataset)
            return await asyncio.to_thread(imported, dataset["counts"], problems, sides, others, approved_only)
        examples, planned = await self._examples.fates(dataset), await self._planned(dataset)
        return await asyncio.to_thread(ledger, planned, dataset["counts"], examples, approved_only)

    async def before_examples(self, dataset: Document) -> list[Step]:
        """Return the steps of a dataset that was generated as it is now, from files to calls."""
        judged = {short(e["_id"]) for e in await self._examples.fates(dataset)}
        return await asyncio.to_thread(before_examples, await self._planned(dataset), dataset["counts"], judged)

    async def sketches(self, dataset: Document) -> dict[str, list[int]]:
        """Return the sketches of a dataset's documents by file; none where they were not kept."""
        kept = await self._kept(dataset)
        return dict(kept.get("sketches", {}))

    async def _planned(self, dataset: Document) -> Planned | None:
        kept = await self._kept(dataset)
        return Planned(kept["files"], kept["chunks"], kept["order"], kept.get("raw", False)) if kept else None

    async def _kept(self, dataset: Document) -> Document:
        key = dataset.get("plan_key")
        if not key:
            return {}
        content = b"".join([part async for part in self._objects.get(key)])
        return dict(await asyncio.to_thread(json.loads, content))
