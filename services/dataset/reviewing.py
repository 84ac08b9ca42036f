"""Examples after generation: listed, read, changed, reviewed, removed."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from finetuneflow.dataset.v1 import example_pb2
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotFound, NotReady
from services.common.pages import DEFAULT_PAGE
from services.common.protoform import check_mask
from services.common.resources import Resources, check_etag
from services.common.work import at_rest
from services.dataset.core import filters, review
from services.dataset.core.ledger import NO_SIDE
from services.dataset.core.review import Word
from services.dataset.core.tasks.custom import MAX_TEXT
from services.dataset.rescoring import TEXTS, Rescoring
from services.dataset.store import Examples

EXAMPLE = "projects/*/datasets/*/examples/*"
CHANGEABLE = ("prompt", "response", "accepted")
REVIEWED = review.REASON
MAX_SCANNED = 5000
"""Examples looked at for one page of a filter that the store cannot answer; a page may then be short, or empty."""


@dataclass
class Reviewed:
    """What a review did.

    Args:
        matched: examples that were meant.
        changed: those of them that changed.
        taken_in: those of these that a check or a person had dropped, and that are in the dataset again.
        skipped: names of those that could not be approved.
    """

    matched: int = 0
    changed: int = 0
    taken_in: int = 0
    skipped: list[str] = dataclasses.field(default_factory=list)


class Reviewing:
    """What people do to examples. Frozen versions keep what they had."""

    def __init__(self, datasets: Resources, examples: Examples, rescoring: Rescoring) -> None:
        self._datasets = datasets
        self._examples = examples.resources
        self._rescoring = rescoring

    async def get(self, name: str) -> Document:
        """Return an example. Raises NotFound."""
        await self._datasets.get(_dataset(name))
        return await self._examples.get(name)

    async def _settled(self, dataset: str) -> Document:
        """Return a dataset that is not being imported: its first version is what the file says.

        Raises:
            NotFound: there is no such dataset.
            NotReady: DATASET_NOT_READY.
        """
        doc = await self._datasets.get(dataset)
        if doc.get("import") and not at_rest(doc["work"]):
            raise NotReady(f"{dataset} is being imported. Wait for it.", reason="DATASET_NOT_READY")
        return doc

    async def page(self, dataset: str, text: str, size: int, token: str) -> tuple[list[Document], str]:
        """Return a page of a dataset's examples in order, and the next page's token.

        Raises:
            NotFound: the dataset does not exist.
            InvalidArgument: a bad filter, size or token.
        """
        doc = await self._datasets.get(dataset)
        meant = filters.read(text)
        where = {"dataset_uid": doc["uid"], **meant.where}
        if not meant.tests:
            return await self._examples.page(where, size, token)
        found: list[Document] = []
        scanned, wanted = 0, size or DEFAULT_PAGE
        while True:
            # As many as are still wanted, so that the token stands right behind the last that was looked at.
            docs, token = await self._examples.page(where, size if size < 0 else wanted - len(found), token)
            scanned += len(docs)
            found += [d for d in docs if meant.matches(d)]
            if not token or len(found) >= wanted or scanned >= MAX_SCANNED:
                return found, token

    async def update(self, wanted: example_pb2.Example, paths: Sequence[str]) -> Document:
        """Change prompt, response or accepted; the example counts as edited from then on.

        A decision about the old texts no longer holds, nor what was measured of them: the grounding is measured anew if
        the passage is at hand, and every other score is taken away.

        Raises:
            NotFound: there is no such example.
            NotReady: the dataset is being imported (DATASET_NOT_READY).
            Conflict: the etag is old.
            InvalidArgument: another field is named, a text is empty or too long, or the prompt of raw text is named.
        """
        fields = list(paths) or [f for f in ("prompt", "response") if getattr(wanted, f)]
        check_mask(fields, CHANGEABLE)
        texts = _texts(wanted, fields)
        dataset = await self._settled(_dataset(wanted.name))
        found = await self._examples.get(wanted.name)
        check_etag(found, wanted.meta.etag)
        _check_raw(found, fields)
        meant = {**found, **texts}
        scores = await self._rescoring.of(dataset, meant) if meant != found else {}

        def change(doc: Document) -> None:
            _check_raw(doc, fields)
            if any(doc[field] != text for field, text in texts.items()):
                doc.update(texts, edited=True)
                doc.pop("judge_reason", None)
                doc["scores"] = scores if all(doc[field] == meant[field] for field in TEXTS) else {}
            if "accepted" in fields and doc["accepted"] != wanted.accepted:
                if wanted.accepted and not review.has_texts(doc):
                    raise InvalidArgument(
                        "The example has no prompt or no response. Write them before it is accepted.",
                        field="example.accepted",
                    )
                # Its side comes with the next version.
                doc["split"] = NO_SIDE
                doc["accepted"] = wanted.accepted
                doc["drop_reason"] = "" if wanted.accepted else REVIEWED
                doc["edited"] = True

        return await self._examples.change(wanted.name, change, etag=wanted.meta.etag, user=True)

    async def review(self, dataset: str, names: Sequence[str], text: str, word: Word, validate_only: bool) -> Reviewed:
        """Say something of examples: of those named, or of all that a filter means. Repeating it changes nothing more.

        Raises:
            NotFound: the dataset or a named example does not exist.
            NotReady: the dataset is being imported (DATASET_NOT_READY).
            InvalidArgument: neither names nor a filter, a bad filter, tag or note.
        """
        _check(names, text, word)
        doc = await self._settled(dataset)
        done = Reviewed()
        async for example in self._meant(doc, names, text):
            done.matched += 1
            if not word.fits(example):
                done.skipped.append(example["_id"])
                continue
            trial = {**example}
            word.say(trial)
            if trial == example:
                continue
            done.changed += 1
            done.taken_in += bool(trial["accepted"] and not example["accepted"] and word.action == "APPROVE")
            if not validate_only:
                await self._say(example["_id"], word)
        return done

    async def _say(self, name: str, word: Word) -> None:
        def say(doc: Document) -> None:
            if word.fits(doc):
                word.say(doc)

        try:
            await self._examples.change(name, say, user=True)
        except NotFound:
            return  # removed since it was listed

    async def _meant(self, dataset: Document, names: Sequence[str], text: str) -> AsyncIterator[Document]:
        if names:
            for name in dict.fromkeys(names):
                yield await self._examples.get(name)
            return
        token = ""
        while True:
            # A page's examples may change before the next page is read. That takes one out of the filter, not out of
            # the order, by which the token goes: none is passed over, and none comes twice.
            docs, token = await self.page(dataset["_id"], text, 500, token)
            for doc in docs:
                yield doc
            if not token:
                return

    async def delete(self, name: str) -> None:
        """Remove an example. It stays away when generation is resumed. Errors: as update."""
        await self._settled(_dataset(name))
        await self._examples.delete(name)


def _check_raw(example: Document, fields: Sequence[str]) -> None:
    if example.get("raw") and "prompt" in fields:
        raise InvalidArgument("Raw text has no prompt. Change its response.", field="example.prompt")


def _check(names: Sequence[str], text: str, word: Word) -> None:
    if not names and not text.strip():
        raise InvalidArgument('Name examples or give a filter; "*" means all.', field="filter")
    for tag in (*word.add_tags, *word.remove_tags):
        if not 0 < len(tag) <= review.MAX_TAG or tag != tag.strip():
            raise InvalidArgument(f'"{tag[:80]}" is no tag. Use 1 to {review.MAX_TAG} characters.', field="add_tags")
    if len(word.add_tags) > review.MAX_TAGS:
        raise InvalidArgument(f"There are {len(word.add_tags)} tags; use up to {review.MAX_TAGS}.", field="add_tags")
    if word.note is not None and len(word.note) > review.MAX_NOTE:
        raise InvalidArgument(f"The note is longer than {review.MAX_NOTE} characters.", field="note")


def _texts(wanted: example_pb2.Example, fields: Sequence[str]) -> dict[str, str]:
    """Return the texts that are to be changed, by field. Raises InvalidArgument as update does."""
    texts = {field: getattr(wanted, field).strip() for field in TEXTS if field in fields}
    for field, text in texts.items():
        if not 0 < len(text) <= MAX_TEXT:
            raise InvalidArgument(f"{field} is empty or longer than {MAX_TEXT} characters.", field=f"example.{field}")
    return texts


def _dataset(name: str) -> str:
    return name.rpartition("/examples/")[0]
