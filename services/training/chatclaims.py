"""Which replica has a run's models loaded: a record for each run in the document store, renewed while it has them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from collections.abc import Collection as Some
from dataclasses import dataclass

from services.common.clock import Clock
from services.common.documents.port import Collection, Document
from services.common.errors import AlreadyExists, Conflict

INDEXES = ("holder",)
RENEWALS = 6
"""Renewals within the time of a lease."""


@dataclass(frozen=True)
class Held:
    """A run's models at another replica.

    Args:
        run: the run's uid.
        address: host:port of that replica.
        revision: of the record.
    """

    run: str
    address: str
    revision: int


class Claims:
    """Who has which run's models.

    Args:
        address: host:port of this very replica; one process at a time has it.
        lease_seconds: how long a record counts that its replica renews no more.
    """

    def __init__(self, collection: Collection, address: str, clock: Clock, lease_seconds: float) -> None:
        self._collection = collection
        self.address = address
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._over: dict[tuple[str, int], float] = {}
        self.renew_seconds = lease_seconds / RENEWALS

    async def take(self, run: str) -> Held | None:
        """Claim a run's models for this replica; return who has them, or None if it is this one now.

        Repeating it renews the claim.
        """
        while True:
            doc = await self._collection.get(run)
            now = self._clock.now()
            if doc is not None and doc["holder"] != self.address and doc["expires"] > now:
                return _held(doc)
            if await self._written({**(doc or {"_id": run}), **self._own(now)}):
                return None

    async def find(self, run: str) -> Held | None:
        """Return which other replica has a run's models; None if none does, or this one."""
        doc = await self._collection.get(run)
        if doc is None or doc["holder"] == self.address or doc["expires"] <= self._clock.now():
            return None
        return _held(doc)

    async def drop(self, held: Held) -> None:
        """End the claim of a replica that does not answer, unless it has just renewed it."""
        await self._removed(held.run, held.revision)

    async def keep(self, wanted: Callable[[], Some[str]]) -> set[str]:
        """Claim some runs and give up this replica's others; return those of them that others have now.

        Args:
            wanted: returns the uids; called after the claims were read, so that what is claimed meanwhile stays.
        """
        mine = await self._collection.find({"holder": self.address})
        runs = set(wanted())
        for doc in mine:
            if doc["_id"] not in runs:
                await self._removed(doc["_id"], doc["revision"])
        return {run for run in runs if await self.take(run) is not None}

    async def holders(self) -> dict[str, str]:
        """Return the address of the replica that has each run's models, by runs' uids; remove what is left of others.

        A claim that is over counts until it has been seen so for a further lease: its replica may live, and could not
        reach the store for as long as this one could not.
        """
        now, over, found = self._clock.now(), dict[tuple[str, int], float](), dict[str, str]()
        for doc in await self._collection.find({}):
            run, revision = doc["_id"], doc["revision"]
            if doc["expires"] <= now:
                over[run, revision] = since = self._over.get((run, revision), now)
                if now - since >= self._lease_seconds:
                    await self._removed(run, revision)
                    continue
            found[run] = doc["holder"]
        self._over = over
        return found

    def _own(self, now: float) -> Document:
        return {"holder": self.address, "expires": now + self._lease_seconds}

    async def _written(self, doc: Document) -> bool:
        try:
            await (self._collection.replace(doc) if "revision" in doc else self._collection.insert(doc))
        except (AlreadyExists, Conflict):
            return False
        return True

    async def _removed(self, run: str, revision: int) -> None:
        with contextlib.suppress(Conflict):
            await self._collection.delete(run, revision)


def _held(doc: Document) -> Held:
    return Held(doc["_id"], doc["holder"], doc["revision"])
