"""What a document store must do; the same contract tests run against every implementation.

A document is a JSON object: `{"_id": str, "revision": int, ...}`. `_id` is chosen by the caller and unique in its
collection. `revision` belongs to the store: 1 after the insert, one more with every replace. Documents that come back
are copies; changing one changes nothing until it is replaced. Every write is durable when its call returns.

A where clause maps dotted paths to values, all of which must hold:

    {"state": "QUEUED", "order": {"$gt": "x"}, "work.lease.expires": {"$gte": 1.0, "$lt": 2.0}, "_id": {"$in": [...]}}

- The operators are $gt, $gte, $lt, $lte, $ne and $in; a bare value means equality.
- Values are strings, numbers, booleans and None. None equals both null and a field that is missing.
- Values of different kinds are never equal, and ranges match only their own kind: 1 is not True and not "1", and
  {"$gt": 5} matches no string. Ranges take strings (in order of their UTF-8 bytes) and numbers.
- {"$ne": v} is the opposite of equality, so it also matches documents without the field.
- A path's segments are letters, digits and underscores. Where a path meets a list, stores may differ: do not ask.

Cancelling a call that writes leaves open whether the write happened; its durability and atomicity hold either way.

Errors of every method: Unavailable (the store does not answer, or is closed); writes also Exhausted with reason
DISK_FULL. Both may be repeated. A path, an operator, a value or a document of the wrong form is InvalidArgument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Document = dict[str, Any]
Where = Mapping[str, Any]

MAX_BYTES = 1_048_576
"""Largest document, as compact UTF-8 JSON."""

MAX_IN = 10_000
"""Most values that one $in may hold."""


class Collection(Protocol):
    """Documents of one kind."""

    async def insert(self, doc: Document) -> Document:
        """Store a new document and return it with revision 1; any revision it brought is ignored.

        Repeating it raises AlreadyExists and changes nothing.

        Raises:
            AlreadyExists: the `_id` is taken.
            InvalidArgument: no `_id`, not JSON, or larger than 1 MiB.
        """
        ...

    async def insert_many(self, docs: Sequence[Document]) -> int:
        """Store those of some new documents whose `_id` is free, with revision 1; return how many those were.

        What is there already stays as it is, so that repeating it stores nothing twice. Each document is stored whole
        or not at all; if the call fails, any of them may have been.

        Raises:
            InvalidArgument: as insert; then none is stored.
        """
        ...

    async def get(self, id: str) -> Document | None:
        """Return the document as last written, or None."""
        ...

    async def replace(self, doc: Document) -> Document:
        """Store the document if `doc["revision"]` is still the newest; return it with the next revision.

        Of several concurrent replaces of one revision exactly one succeeds. Repeating a replace that succeeded raises
        Conflict, for the revision has moved.

        Raises:
            Conflict: the document was changed or deleted since that revision.
            InvalidArgument: no `_id` or revision, not JSON, or larger than 1 MiB.
        """
        ...

    async def replace_many(self, docs: Sequence[Document]) -> list[Document]:
        """Store those of some documents whose revision is still the newest; return them with the next one, in order.

        What was changed or deleted since is left as it is, and is missing from the answer. Each document is replaced
        whole or not at all; if the call fails, any of them may have been.

        Raises:
            InvalidArgument: as replace; then none is stored.
        """
        ...

    async def find(
        self, where: Where, *, sort: str = "_id", descending: bool = False, limit: int = 0
    ) -> list[Document]:
        """Return the documents that match, none of them twice.

        Each is as it was at some moment of the call; one that changes meanwhile may be missed.

        Args:
            where: see the module; an empty one matches all.
            sort: a dotted path. Missing and null come first, then numbers, then strings; equals are in order of `_id`.
            descending: turns the whole order around, `_id` included.
            limit: most documents to return; 0 for all.
        """
        ...

    async def count(self, where: Where) -> int:
        """Return how many documents match."""
        ...

    async def delete(self, id: str, revision: int = 0) -> bool:
        """Remove a document; False if it was not there, so that repeating it does no harm.

        Args:
            id: the document's `_id`.
            revision: remove it only at this revision; 0 for any.

        Raises:
            Conflict: it is there, at another revision.
        """
        ...

    async def delete_many(self, ids: Sequence[str]) -> int:
        """Remove documents at any revision; return how many were there, so that repeating it does no harm.

        If the call fails, any of them may be gone.
        """
        ...


class Documents(Protocol):
    """A service's own database."""

    def collection(self, name: str, indexes: Sequence[str] = ()) -> Collection:
        """Return a collection; it comes into being at its first use.

        Args:
            name: lower-case letters, digits and underscores, a letter first.
            indexes: dotted paths that are asked for often; several joined by commas, such as `"parent,order"`, make
                one index over all of them, in that order. New indexes are added to old collections.
        """
        ...

    async def check(self) -> float:
        """Make sure that the store answers, takes the credentials and can be written to.

        Returns:
            Seconds by which the store's clock is ahead of this machine's; 0 where it has no clock of its own.

        Raises:
            Unavailable: it does not answer now; or, with reason CONFIGURATION, a setting is wrong: waiting is no use.
            NotReady: a newer version of FineTuneFlow wrote the store.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked for, then let go of the database. Closing again does nothing."""
        ...
