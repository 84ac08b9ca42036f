"""Freezing: examples as they are become a file that never changes."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
from collections import Counter
from collections.abc import Sequence

from services.common.documents.port import Document
from services.common.errors import Exhausted, NotFound, NotReady
from services.common.objects.port import Objects
from services.common.resources import Mutate, Resources
from services.dataset.accounts import Accounts
from services.dataset.core import frozen, near, review
from services.dataset.core.ledger import unnamed
from services.dataset.core.split import document, split
from services.dataset.store import Examples

AT_ONCE = 500
"""Examples that are given their sides by one write."""
MOST_VERSIONS = 200
"""Versions of one dataset at most: their records stand in its document."""


class Freezer:
    """Makes versions of datasets."""

    def __init__(self, datasets: Resources, examples: Examples, objects: Objects, accounts: Accounts) -> None:
        self.accounts = accounts
        self._datasets = datasets
        self._examples = examples
        self._objects = objects

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
        examples = await self._examples.all(dataset, accepted=True)
        if approved_only:
            examples = await self._approved(dataset, examples)
        if not examples:
            raise NotReady(
                f"{dataset['_id']} has no accepted example. See the drops by reason with `ftf dataset stats`.",
                reason="NO_ACCEPTED_EXAMPLES",
            )
        examples = await self._assign(dataset, examples)
        spec = dataset["spec"]
        reasoned = spec.get("include_reasoning", False)
        content = await asyncio.to_thread(frozen.content, examples, spec["system_prompt"], reasoned)
        sha256 = hashlib.sha256(content).hexdigest()
        key = f"datasets/{dataset['uid']}/{sha256}.jsonl"
        await self._objects.put(key, content)
        sides = Counter(e["split"] for e in examples)
        return {
            "artifact": {"filename": "dataset.jsonl", "size_bytes": len(content), "sha256": sha256, "key": key},
            "train_examples": sides["SPLIT_TRAIN"],
            "eval_examples": sides["SPLIT_EVAL"],
            "recall_examples": sides["SPLIT_RECALL"],
            "create_time": self._datasets.clock.now(),
            "approved_only": approved_only,
            "ledger": await self.accounts.frozen(dataset, approved_only),
        }

    async def _approved(self, dataset: Document, examples: Sequence[Document]) -> list[Document]:
        """Return the approved ones; the others have no side while the newest version leaves them out."""
        approved = [e for e in examples if review.approved(e)]
        if not approved:
            raise NotReady(
                f"{dataset['_id']} has no approved example. Approve some with `ftf dataset review --approve`.",
                reason="NO_APPROVED_EXAMPLES",
            )

        def leave(doc: Document) -> None:
            doc["split"] = "SPLIT_UNSPECIFIED"

        for example in examples:
            if not review.approved(example) and example["split"] != "SPLIT_UNSPECIFIED":
                with contextlib.suppress(NotFound):
                    await self._examples.resources.change(example["_id"], leave)
        return approved

    async def _assign(self, dataset: Document, examples: Sequence[Document]) -> list[Document]:
        """Write each example's side; the same examples get the same sides every time."""
        hashes: dict[str, str] = {f["name"]: f["sha256"] for f in dataset["files"]}
        documents = {document(e): hashes.get(e["file"]) or document(e) for e in examples}
        spec = dataset["spec"]
        # The id without the dataset's name: the same examples are split alike in every dataset.
        pairs = [(_short(e), document(e)) for e in examples]
        sketches = await self.accounts.sketches(dataset)
        sides = await asyncio.to_thread(_sides, examples, pairs, documents, sketches, spec)
        sides.update({_short(e): e["given_split"] for e in examples if e.get("given_split")})

        def put(doc: Document) -> None:
            doc["split"] = sides[_short(doc)]

        assigned = [e for e in examples if e["split"] == sides[_short(e)]]
        others = [e for e in examples if e["split"] != sides[_short(e)]]
        for start in range(0, len(others), AT_ONCE):
            assigned += await self._examples.resources.change_many(others[start : start + AT_ONCE], put)
        # What was removed or rejected since it was listed stays out.
        return [e for e in assigned if e["accepted"]]


def _sides(
    examples: Sequence[Document],
    pairs: Sequence[tuple[str, str]],
    documents: dict[str, str],
    sketches: dict[str, list[int]],
    spec: Document,
) -> dict[str, str]:
    texts = {_short(e): " ".join((e["prompt"], e["response"], *_said(e))) for e in examples}
    same = near.documents({name: sketches[name] for name in documents if name in sketches})
    clusters = near.clusters(texts)
    return split(pairs, documents, spec["eval_fraction"], spec["recall_fraction"], near=clusters, same=same)


def _said(example: Document) -> list[str]:
    return [str(message.get("content", "")) for message in example.get("messages", ())]


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
