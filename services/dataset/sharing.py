"""This replica's share of an endpoint's calls: a record of all replicas' in the document store, renewed while it calls.

The store is asked every few seconds and never for a call. A replica that does not reach it begins no call once its
share is over; one that was killed leaves its share to the others at the same moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict

from services.common import incidents
from services.common.clock import Clock
from services.common.documents.port import Collection, Document
from services.common.errors import AlreadyExists, Conflict, FineTuneFlowError
from services.dataset.core.shares import Division, Holder, divide
from services.dataset.slots import Slots

log = logging.getLogger(__name__)

RENEWALS = 6
"""Renewals within the time of a lease."""
HURRY_SECONDS = 0.25
"""Pause before the next renewal while shares are on their way from one replica to another."""


class Shares:
    """Who holds which share of which endpoint's calls.

    Args:
        instance: this replica's name; one process at a time bears it, so its earlier shares are its own.
        lease_seconds: how long a share is kept for a replica that renews it no more.
    """

    def __init__(self, collection: Collection, instance: str, clock: Clock, lease_seconds: float) -> None:
        self._collection = collection
        self._instance = instance
        self._clock = clock
        self.lease_seconds = lease_seconds

    async def renew(self, endpoint: str, most: int, settle: Callable[[Division], tuple[int, int]]) -> Division:
        """Put this replica's share on record and return it.

        Args:
            endpoint: its uid.
            most: calls that all replicas together may have in flight.
            settle: makes sure that no more calls are begun than the division allows; returns the calls in flight then,
                and the calls that the server was found to take, or 0. It may be called several times.

        Raises:
            Unavailable: the store does not answer.
        """
        while True:
            doc = await self._collection.get(endpoint) or {"_id": endpoint, "holders": []}
            now = self._clock.now()
            division = divide([Holder(**one) for one in doc["holders"]], self._instance, most, now)
            in_flight, pace = settle(division)
            holders = division.kept(self._instance, in_flight, now + self.lease_seconds, pace)
            if await self._written({**doc, "holders": [asdict(one) for one in holders]}):
                return division

    async def give_back(self, endpoint: str) -> None:
        """Leave this replica's share to the others. Repeating it does nothing."""
        while doc := await self._collection.get(endpoint):
            left = [one for one in doc["holders"] if one["name"] != self._instance]
            if len(left) == len(doc["holders"]) or await self._written({**doc, "holders": left}):
                return

    async def forget(self, endpoint: str) -> None:
        """Remove the record of an endpoint that was deleted. Repeating it does nothing."""
        await self._collection.delete(endpoint)

    async def _written(self, doc: Document) -> bool:
        try:
            await (self._collection.replace(doc) if "revision" in doc else self._collection.insert(doc))
        except (AlreadyExists, Conflict):
            return False
        return True


class Share:
    """This replica's share of one endpoint's calls: asked for with the first call, given back when none is made.

    Args:
        endpoint: its uid.
        most: calls that all replicas together may have in flight.
    """

    def __init__(self, shares: Shares, endpoint: str, most: int) -> None:
        self._shares = shares
        self._endpoint = endpoint
        self._most = most
        self._changed = asyncio.Event()
        self._holders = 0
        self._task: asyncio.Task[None] | None = None

    def hold(self, slots: Slots) -> None:
        """See to it that these slots have their share for as long as they are wanted. Repeating it does nothing."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._kept(slots))

    def limit(self, most: int) -> None:
        """Let all replicas together have so many calls in flight from now on."""
        self._most = most
        self._changed.set()

    async def close(self) -> None:
        """Give the share back and hold none any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _kept(self, slots: Slots) -> None:
        try:
            while slots.wanted():
                pause = await self._renewed(slots)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause)
                self._changed.clear()
                if not slots.wanted():
                    await self._left(slots)
        except asyncio.CancelledError:
            await self._left(slots)
            raise

    async def _left(self, slots: Slots) -> None:
        self._holders = 0
        slots.allow(0, 0)
        with contextlib.suppress(FineTuneFlowError):  # it is over soon by itself
            await self._shares.give_back(self._endpoint)

    async def _renewed(self, slots: Slots) -> float:
        """Renew the share; return the seconds until that is to be done again."""

        def settle(division: Division) -> tuple[int, int]:
            slots.lower(division.allowed)
            return slots.in_flight, slots.pace.found

        began = time.monotonic()
        try:
            division = await self._shares.renew(self._endpoint, self._most, settle)
        except FineTuneFlowError as error:
            log.warning("The share of an endpoint's calls was not renewed: %s", error)
            return HURRY_SECONDS
        except Exception as error:
            incidents.report(log, "Sharing an endpoint's calls", error)
            return HURRY_SECONDS
        self._paced(slots, division)
        slots.allow(division.allowed, began + self._shares.lease_seconds)
        settled = division.allowed == division.fair and slots.in_flight <= division.fair
        return self._shares.lease_seconds / RENEWALS if settled else min(HURRY_SECONDS, self._shares.lease_seconds / 10)

    def _paced(self, slots: Slots, division: Division) -> None:
        """Divide the pace that was found among those who are there now."""
        if not self._holders and division.pace:
            slots.pace.take_over(division.pace)
        elif self._holders:
            slots.pace.scale(self._holders / division.holders)
        self._holders = division.holders
