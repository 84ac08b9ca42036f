"""Taking a document out of a dataset: its examples, its place in the plan, and if wanted the versions that hold it."""

from __future__ import annotations

from services.common.documents.port import Document
from services.common.errors import Conflict, NotReady
from services.common.objects.port import Objects
from services.common.resources import Resources
from services.common.work import at_rest
from services.dataset.core import balance
from services.dataset.core.ledger import NO_SIDE
from services.dataset.freezing import Freezer
from services.dataset.service import Datasets
from services.dataset.versions import Versions

REASON = "DOCUMENT_DELETED"


class Forgetting:
    """Makes datasets forget a file."""

    def __init__(
        self, datasets: Datasets, examples: Resources, versions: Versions, freezer: Freezer, objects: Objects
    ) -> None:
        self._datasets = datasets
        self._examples = examples
        self._versions = versions
        self._freezer = freezer
        self._objects = objects

    async def forget(self, name: str, file: str, erase_versions: bool) -> Document:
        """Empty and drop a file's examples, leave it out of generation, and freeze what is left as a new version.

        The counts and flags are then those of what is left. Nothing is frozen if the dataset had no version, or nothing
        accepted is left. Repeating it changes nothing more.

        Raises:
            NotFound: there is no such dataset.
            NotReady: generation goes on (DATASET_NOT_READY).
        """
        doc = await self._datasets.resting(name)
        use = await self._versions.uses(doc, file)
        if use is None:
            return doc
        # First, so that a generation that is resumed meanwhile asks nothing more about it.
        doc = await self._datasets.resources.change(name, lambda d: _leave_out(d, file))
        for example in await self._datasets.examples.every(doc):
            if example["file"] == file and example["drop_reason"] != REASON:
                await self._empty(example)
        doc = await self._recount(doc)
        if doc["versions"]:
            newest = doc["versions"][-1]
            try:
                doc = await self._freezer.freeze(doc, bool(newest.get("approved_only", False)))
            except NotReady as error:
                if error.reason not in ("NO_ACCEPTED_EXAMPLES", "NO_APPROVED_EXAMPLES"):
                    raise
        return await self._erase(doc, file, use) if erase_versions else doc

    async def _empty(self, example: Document) -> None:
        """Drop an example, one that was deleted before too, without a word of what it said."""
        empty: Document = {"prompt": "", "response": "", "evidence": "", "messages": [], "reasoning": "", "place": None}

        def drop(doc: Document) -> None:
            doc.update({key: value for key, value in empty.items() if key in doc})
            doc.update(accepted=False, drop_reason=REASON, drop_detail="its document was deleted")
            doc.update(split=NO_SIDE, evidence_span={"start": 0, "end": 0})
            if doc.get("review"):
                doc["review"] = {**doc["review"], "state": "", "note": "", "content_sha256": ""}
                doc["review"].pop("before", None)  # it quotes what the check saw
            doc["delete_time"] = doc["delete_time"] or self._examples.clock.now()

        while True:
            doc = await self._examples.collection.get(example["_id"])
            if doc is None or doc["drop_reason"] == REASON:
                return
            drop(doc)
            try:
                await self._examples.collection.replace(doc)
            except Conflict:
                continue
            return

    async def _recount(self, dataset: Document) -> Document:
        """Make the counts and flags of a dataset those of the examples that are left."""
        examples = await self._datasets.examples.fates(dataset)

        def count(doc: Document) -> None:
            doc["counts"] = balance.recounted(doc["counts"], examples)
            doc["flags"] = balance.flags(examples)

        return await self._datasets.resources.change(dataset["_id"], count)

    async def _erase(self, dataset: Document, file: str, use: Document) -> Document:
        """Remove the bytes of the versions with rows of a file, once their records say so."""
        numbers = {v["version"] for v in use["versions"]}

        def mark(doc: Document) -> None:
            for version in doc["versions"]:
                if version["version"] in numbers:
                    version["erased"] = True
                    version["erased_for"] = sorted({*version.get("erased_for", ()), file})

        doc = await self._datasets.resources.change(dataset["_id"], mark)
        kept = {v["artifact"]["key"] for v in doc["versions"] if not v.get("erased")}
        try:
            for version in doc["versions"]:
                if version.get("erased") and version["artifact"]["key"] not in kept:
                    await self._objects.delete(version["artifact"]["key"])
        finally:
            # Last: what was read while the bytes were still there goes too.
            self._versions.keep_nothing()
        return doc


def _leave_out(doc: Document, file: str) -> None:
    """Take a file out of what generation uses, and remember it for the ledger."""
    if not at_rest(doc["work"]):
        raise NotReady(f"{doc['_id']} is being generated. Wait for it, or pause it.", reason="DATASET_NOT_READY")
    gone = [f for f in doc["files"] if f["name"] == file]
    if gone:
        doc["files"] = [f for f in doc["files"] if f["name"] != file]
        doc["spec"] = {**doc["spec"], "files": [name for name in doc["spec"]["files"] if name != file]}
        known = [{"name": f["name"], "display_name": f["display_name"]} for f in gone]
        doc["forgotten"] = [*doc.get("forgotten", ()), *known]
