"""Freezing: examples as they are become a file that never changes."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.common.documents.port import Document
from services.common.errors import Exhausted, NotFound, NotReady
from services.common.objects.port import Objects
from services.common.resources import Mutate, Resources
from services.dataset.accounts import Accounts
from services.dataset.core import frozen, review
from services.dataset.core.ledger import NO_SIDE, unnamed
from services.dataset.core.sides import Sides
from services.dataset.lines import Lines, blocks, scratch
from services.dataset.store import Examples
from services.dataset.templates import template_of
from services.dataset.textspec import is_text

MOST_VERSIONS = 200
"""Versions of one dataset at most: their records stand in its document."""


class Freezer:
    """Makes versions of datasets.

    Args:
        scratch: an existing folder for what is put aside meanwhile.
    """

    def __init__(
        self, datasets: Resources, examples: Examples, objects: Objects, accounts: Accounts, scratch: Path
    ) -> None:
        self.accounts = accounts
        self._datasets = datasets
        self._examples = examples
        self._objects = objects
        self._scratch = scratch

    async def first_version(self, dataset: Document, also: Mutate) -> Mutate:
        """Split and store the accepted examples; return the change that adds the version to the dataset."""
        await self._inherit(dataset)
        told = copy.deepcopy(dataset)
        also(told)
        version = await self._version({**dataset, "counts": told["counts"]})

        def add(doc: Document) -> None:
            also(doc)
            _append(doc, version)

        return add

    async def imported(
        self, dataset: Document, also: Mutate, lines: Lines, sides: Mapping[str, int], ledger: list[Document]
    ) -> Mutate:
        """Store the lines of an import's examples; return the change that adds the version to the dataset."""
        version = self._record(await self._keep(dataset, lines), sides, ledger)

        def add(doc: Document) -> None:
            also(doc)
            _append(doc, version)

        return add

    async def freeze(self, dataset: Document, approved_only: bool = False) -> Document:
        """Add a version of the examples as they are, unless the newest version has the same bytes.

        Args:
            approved_only: only those that a person has approved as they are; it is then another version even with the
                same bytes, for it says so.

        Raises:
            NotReady: no example is accepted (NO_ACCEPTED_EXAMPLES), or none approved (NO_APPROVED_EXAMPLES).
        """
        version = await self._version(dataset, approved_only)
        return await self._datasets.change(dataset["_id"], lambda doc: _append(doc, version))

    async def _inherit(self, dataset: Document) -> None:
        """Let examples take over what was said of the same texts in another dataset; what has a review keeps it."""
        source = dataset["spec"].get("inherit_reviews_from", "")
        if not source:
            return
        try:
            said = review.inherited(await self._examples.all(await self._datasets.get(source)))
        except NotFound:
            return  # deleted meanwhile

        def take(doc: Document) -> None:
            found = said.get(review.content_sha256(doc))
            if found and not doc.get("review"):
                review.take_over(doc, found)

        for example in await self._examples.all(dataset):
            if not example.get("review") and review.content_sha256(example) in said:
                await self._examples.resources.change(example["_id"], take)

    async def _version(self, dataset: Document, approved_only: bool = False) -> Document:
        sides = await self._divided(dataset, approved_only)
        async with scratch(self._scratch) as folder:
            lines, count = Lines(folder), Counter[str]()
            # What was removed or rejected since it was divided stays out.
            async for examples in self._examples.pages(dataset, accepted=True):
                there = [e for e in await self._assigned(examples, sides) if e["accepted"] and _short(e) in sides]
                await asyncio.to_thread(lines.add, (line_of(e, dataset["spec"]) for e in there))
                count.update(e["split"] for e in there)
            artifact = await self._keep(dataset, lines)
        ledger = await self.accounts.frozen(dataset, approved_only)
        return self._record(artifact, count, ledger, approved_only)

    async def _keep(self, dataset: Document, lines: Lines) -> Document:
        """Store the lines as a version's file and return its record. Repeating it stores nothing more."""
        path, size, sha256 = await asyncio.to_thread(lines.written)
        key = f"datasets/{dataset['uid']}/{sha256}.jsonl"
        await self._objects.put(key, blocks(path))
        return {"filename": "dataset.jsonl", "size_bytes": size, "sha256": sha256, "key": key}

    def _record(
        self, artifact: Document, sides: Mapping[str, int], ledger: list[Document], approved_only: bool = False
    ) -> Document:
        """Return the record of a version."""
        return {
            "artifact": artifact,
            "train_examples": sides.get("SPLIT_TRAIN", 0),
            "eval_examples": sides.get("SPLIT_EVAL", 0),
            "recall_examples": sides.get("SPLIT_RECALL", 0),
            "create_time": self._datasets.clock.now(),
            "approved_only": approved_only,
            "ledger": ledger,
        }

    async def _divided(self, dataset: Document, approved_only: bool) -> dict[str, str]:
        """Return the side of each example that is in a version, by its id."""
        template = None if dataset.get("import") or is_text(dataset) else template_of(dataset)
        divided, left = Sides(template), 0
        async for examples in self._examples.pages(dataset, accepted=True):
            wanted = [e for e in examples if review.approved(e)] if approved_only else examples
            left += len(examples) - len(wanted)
            await asyncio.to_thread(_add, divided, wanted)
        if left and not len(divided):
            raise NotReady(
                f"{dataset['_id']} has no approved example. Approve some with `ftf dataset review --approve`.",
                reason="NO_APPROVED_EXAMPLES",
            )
        if not len(divided):
            raise NotReady(
                f"{dataset['_id']} has no accepted example. See the drops by reason with `ftf dataset stats`.",
                reason="NO_ACCEPTED_EXAMPLES",
            )
        spec, hashes = dataset["spec"], {f["name"]: f["sha256"] for f in dataset["files"]}
        sketches = await self.accounts.sketches(dataset)
        fractions = spec["eval_fraction"], spec["recall_fraction"]
        return await asyncio.to_thread(divided.divide, *fractions, hashes, sketches)

    async def _assigned(self, examples: Sequence[Document], sides: Mapping[str, str]) -> list[Document]:
        """Write each example's side; those that the version leaves out have none. Return them as they are now."""

        def put(doc: Document) -> None:
            # It may have been rejected since it was read.
            doc["split"] = sides.get(_short(doc), NO_SIDE) if doc["accepted"] else NO_SIDE

        others = [e for e in examples if sides.get(_short(e), NO_SIDE) != e["split"]]
        moved = {e["_id"]: e for e in await self._examples.resources.change_many(others, put)}
        gone = {e["_id"] for e in others} - set(moved)
        return [moved.get(e["_id"], e) for e in examples if e["_id"] not in gone]


def line_of(example: Document, spec: Document) -> bytes:
    """Return an example's line in a version's file."""
    line = frozen.line(example, spec["system_prompt"], spec.get("include_reasoning", False))
    return f"{line}\n".encode()


def _add(divided: Sides, examples: Sequence[Document]) -> None:
    for example in examples:
        divided.add(_short(example), example)


def _short(example: Document) -> str:
    return str(example["_id"]).rpartition("/")[2]


def _append(doc: Document, version: Document) -> None:
    newest = doc["versions"][-1] if doc["versions"] else None
    if newest and _alike(newest) == _alike(version):
        return
    if len(doc["versions"]) >= MOST_VERSIONS:
        raise Exhausted(f"{doc['_id']} has {MOST_VERSIONS} versions, as many as it can have. Make another dataset.")
    # A document may have 1 MiB: earlier ledgers keep their sums, the newest names its rows too.
    earlier = [{**v, "ledger": [unnamed(step) for step in v.get("ledger", ())]} for v in doc["versions"]]
    doc["versions"] = [*earlier, {**version, "version": len(doc["versions"]) + 1}]


def _alike(version: Document) -> tuple[str, bool]:
    return version["artifact"]["sha256"], bool(version.get("approved_only", False))
