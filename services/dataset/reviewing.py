"""Examples after generation: listed, read, changed, removed."""

from __future__ import annotations

from collections.abc import Sequence

from finetuneflow.dataset.v1 import example_pb2
from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.common.resources import Resources
from services.dataset.core import filters
from services.dataset.core.checks import MAX_PROMPT, MAX_RESPONSE
from services.dataset.store import Examples

EXAMPLE = "projects/*/datasets/*/examples/*"
CHANGEABLE = ("prompt", "response", "accepted")
REVIEWED = "REJECTED_BY_REVIEW"


class Reviewing:
    """What people do to examples. Frozen versions keep what they had."""

    def __init__(self, datasets: Resources, examples: Examples) -> None:
        self._datasets = datasets
        self._examples = examples.resources

    async def get(self, name: str) -> Document:
        """Return an example. Raises NotFound."""
        await self._datasets.get(_dataset(name))
        return await self._examples.get(name)

    async def page(self, dataset: str, text: str, size: int, token: str) -> tuple[list[Document], str]:
        """Return a page of a dataset's examples in order, and the next page's token.

        Raises:
            NotFound: the dataset does not exist.
            InvalidArgument: a bad filter, size or token.
        """
        doc = await self._datasets.get(dataset)
        where = {"dataset_uid": doc["uid"], **filters.parse(text)}
        return await self._examples.page(where, size, token)

    async def update(self, wanted: example_pb2.Example, paths: Sequence[str]) -> Document:
        """Change prompt, response or accepted; the example counts as edited from then on.

        Raises:
            NotFound: there is no such example.
            Conflict: the etag is old.
            InvalidArgument: another field is named, or a text is empty or too long.
        """
        fields = list(paths) or [f for f in ("prompt", "response") if getattr(wanted, f)]
        for field in fields:
            if field not in CHANGEABLE:
                raise InvalidArgument(f"{field} cannot be changed; {', '.join(CHANGEABLE)} can.", field="update_mask")
        for field, most in (("prompt", MAX_PROMPT), ("response", MAX_RESPONSE)):
            if field in fields and not 0 < len(getattr(wanted, field).strip()) <= most:
                raise InvalidArgument(f"{field} is empty or longer than {most} characters.", field=f"example.{field}")
        await self.get(wanted.name)

        def change(doc: Document) -> None:
            for field in fields:
                if field != "accepted" and doc[field] != getattr(wanted, field).strip():
                    doc[field] = getattr(wanted, field).strip()
                    doc["edited"] = True
            if "accepted" in fields and doc["accepted"] != wanted.accepted:
                if wanted.accepted and not (doc["prompt"] and doc["response"]):
                    raise InvalidArgument(
                        "The example has no prompt or no response. Write them before it is accepted.",
                        field="example.accepted",
                    )
                # Its side comes with the next version.
                doc["split"] = "SPLIT_UNSPECIFIED"
                doc["accepted"] = wanted.accepted
                doc["drop_reason"] = "" if wanted.accepted else REVIEWED
                doc["edited"] = True

        return await self._examples.change(wanted.name, change, etag=wanted.meta.etag, user=True)

    async def delete(self, name: str) -> None:
        """Remove an example. It stays away when generation is resumed."""
        await self.get(name)
        await self._examples.delete(name)


def _dataset(name: str) -> str:
    return name.rpartition("/examples/")[0]
