"""The loop that takes up due work inside a service and sees it to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from services.common import incidents
from services.common.documents.port import Document
from services.common.errors import Conflict, FineTuneFlowError, NotFound
from services.common.resources import Mutate, Resources, add_event
from services.common.waiting import event_or_time
from services.common.work import ASKED_TO_STOP, Cancelled, Claim, OnHold, Superseded, at_rest, finish, hold

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0

Handler = Callable[[Claim], Awaitable[Mutate | None]]


class WorkLoop:
    """Takes up due work of one kind of resource and sees it to its end.

    Args:
        handler: does the work; returns the last change, applied together with SUCCEEDED, or None. What it raises of
            FineTuneFlowError makes the work FAILED, OnHold makes it PAUSED; it is cancelled when the work is to end or
            to pause. It may run again after a crash.
        done_event: event type that goes with SUCCEEDED.
        parallel: pieces of work at once.
        instance: this replica's name; one process at a time may bear it, so its earlier leases are taken over at once.
    """

    def __init__(
        self,
        resources: Resources,
        handler: Handler,
        *,
        instance: str,
        done_event: str = "",
        parallel: int = 1,
        lease_seconds: float = 30,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._resources = resources
        self._handler = handler
        self._done_event = done_event
        self._parallel = parallel
        self._instance = instance
        self._boot = secrets.token_hex(8)
        self._lease_seconds = lease_seconds
        self._sweep_seconds = sweep_seconds
        self._awake = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._handlers: dict[str, asyncio.Task[Mutate | None]] = {}
        resources.listen(self._written)

    def _written(self, doc: Document) -> None:
        work = doc.get("work")
        if not work:
            return
        if work["state"] == "QUEUED":
            self._awake.set()
        handler = self._handlers.get(doc["_id"])
        if handler and (work["state"] in ASKED_TO_STOP or doc["delete_time"] is not None):
            handler.cancel()

    async def run(self) -> None:
        """Work until cancelled; then let go of what is claimed, so that the next process takes it up at once."""
        try:
            while True:
                self._awake.clear()
                try:
                    await self._sweep()
                except FineTuneFlowError as error:
                    log.warning("%ss: work waits: %s", self._resources.kind, error)
                except Exception as error:
                    incidents.report(log, f"Taking up {self._resources.kind}s", error)
                await event_or_time(self._awake, self._sweep_seconds)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _sweep(self) -> None:
        now = self._resources.clock.now()
        states = {"$in": ["QUEUED", "STARTING", "RUNNING", *ASKED_TO_STOP]}
        where = {"work.state": states, "delete_time": None}
        for doc in await self._resources.collection.find(where, sort="order", limit=500):
            if len(self._running) >= self._parallel:
                return
            if doc["_id"] not in self._running and self._due(doc, now):
                claim = await self._claim(doc["_id"])
                if claim:
                    task = asyncio.create_task(self._see_through(claim))
                    self._running[claim.name] = task

    def _due(self, doc: Document, now: float) -> bool:
        work = doc["work"]
        if work["state"] == "QUEUED":
            return True
        lease = work["lease"]
        mine = lease["owner"] == self._instance and lease["boot"] != self._boot
        return bool(lease["expires"] <= now or mine)

    async def _claim(self, name: str) -> Claim | None:
        now = self._resources.clock.now()

        def take(doc: Document) -> None:
            work = doc["work"]
            if at_rest(work) or not self._due(doc, now):
                raise Superseded(f"{name} is taken.")
            fence = work["lease"]["fence"] + 1
            expires = now + self._lease_seconds
            work["lease"] = {"owner": self._instance, "boot": self._boot, "expires": expires, "fence": fence}
            work["waiting"] = None
            if work["state"] in ASKED_TO_STOP:
                return
            work.update(state="RUNNING", attempt=work["attempt"] + 1, start_time=work["start_time"] or now, error=None)

        try:
            return Claim(self._resources, await self._resources.change(name, take))
        except (Superseded, NotFound, Conflict):
            return None

    async def _see_through(self, claim: Claim) -> None:
        try:
            await self._attend(claim)
        except Superseded as error:
            log.info("%s", error)
        except FineTuneFlowError as error:
            log.warning("%s: will be tried again: %s", claim.name, error)
        except Exception as error:
            incidents.report(log, claim.name, error)
        finally:
            self._running.pop(claim.name, None)
            self._awake.set()

    async def _attend(self, claim: Claim) -> None:
        if claim.doc["work"]["state"] in ASKED_TO_STOP:
            await self._let_go(claim)
            return
        work = asyncio.ensure_future(self._handler(claim))
        self._handlers[claim.name] = work
        renewal = asyncio.create_task(self._renew(claim, work))
        try:
            last = await work
        except asyncio.CancelledError:
            await asyncio.shield(self._let_go(claim))
            if asyncio.current_task() is not None and asyncio.current_task().cancelling():  # type: ignore[union-attr]  # it is not None
                raise
        except (Superseded, Cancelled):
            await self._let_go(claim)
        except OnHold as held:
            await self._finish(claim, "PAUSED", error=held.cause)
        except FineTuneFlowError as error:
            await self._finish(claim, "FAILED", error=error)
        except Exception as broken:
            number = incidents.report(log, claim.name, broken)
            internal = FineTuneFlowError(
                f"{claim.name} met a mistake in FineTuneFlow, number {number}. Report it; the log has the details."
            )
            await self._finish(claim, "FAILED", error=internal)
        else:
            await self._finish(claim, "SUCCEEDED", last)
        finally:
            self._handlers.pop(claim.name, None)
            work.cancel()
            renewal.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)

    async def _renew(self, claim: Claim, work: asyncio.Task[Any]) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await claim.renew(self._lease_seconds)
            except (Superseded, Cancelled):
                work.cancel()
                return
            except FineTuneFlowError as error:
                log.warning("%s: the lease was not renewed: %s", claim.name, error)

    async def _let_go(self, claim: Claim) -> None:
        """After a cancelled handler: CANCELLED or PAUSED if that was asked for, else free for the next worker."""

        def release(doc: Document) -> None:
            if doc["work"]["state"] == "CANCELLING":
                finish(doc["work"], "CANCELLED", self._resources.clock.now())
            elif doc["work"]["state"] == "PAUSING":
                hold(doc["work"])
            else:
                doc["work"]["lease"] = {**doc["work"]["lease"], "expires": 0.0}

        with contextlib.suppress(Superseded):
            await claim.update(release, even_if_cancelling=True)

    async def _finish(
        self, claim: Claim, state: str, last: Mutate | None = None, error: FineTuneFlowError | None = None
    ) -> None:
        def end(doc: Document) -> None:
            cancelled = doc["work"]["state"] == "CANCELLING"
            if last and not cancelled:
                last(doc)
            now = self._resources.clock.now()
            if state == "PAUSED" and not cancelled:
                hold(doc["work"], error)
            else:
                finish(doc["work"], "CANCELLED" if cancelled else state, now, None if cancelled else error)
            if doc["work"]["state"] == "SUCCEEDED":
                add_event(doc, self._done_event, now)

        await claim.update(end, even_if_cancelling=True)
