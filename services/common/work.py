"""Work that outlives a call: its states, and the claim that lets one worker do it.

A worker claims a document whose work is due with a lease (owner, expiry, fencing number) by compare-and-set, renews it
while it works, and each write checks the fencing number, so that a worker that wakes up late is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.common import errors
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, NotFound, NotReady
from services.common.resources import Mutate, Resources
from services.common.waiting import event_or_time

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
ASKED_TO_STOP = ("CANCELLING", "PAUSING")
PROGRESS_SECONDS = 0.3
WATCH_SECONDS = 1.0


class Superseded(NotReady):
    """Somebody else holds the claim now, or the resource is gone: write nothing more."""

    default_reason = "SUPERSEDED"


class Cancelled(NotReady):
    """The work was asked to end, or to pause."""

    default_reason = "WORK_ENDED"


class OnHold(NotReady):
    """What the work needs is away for good: it becomes PAUSED, with the cause as its error."""

    def __init__(self, cause: FineTuneFlowError) -> None:
        super().__init__(cause.message, reason=cause.reason)
        self.cause = cause


def queued(now: float, attempt: int = 0) -> Document:
    """Return work that waits for its turn. attempt: attempts made before, for work that is queued again."""
    return {
        "state": "QUEUED",
        "progress": {"phase": "", "done": 0, "total": 0, "unit": ""},
        "error": None,
        "queue_time": now,
        "start_time": None,
        "end_time": None,
        "attempt": attempt,
        "waiting": None,
        "lease": {"owner": "", "boot": "", "expires": 0.0, "fence": 0},
    }


def ended(work: Document) -> bool:
    """Whether work is in a final state."""
    return work["state"] in ENDED


def at_rest(work: Document) -> bool:
    """Whether nothing is at work and nothing will be unless somebody asks: ended or paused."""
    return ended(work) or work["state"] == "PAUSED"


def finish(work: Document, state: str, now: float, error: FineTuneFlowError | None = None) -> None:
    """Put work into a final state. Work that has ended stays as it is."""
    if ended(work):
        return
    work.update(state=state, end_time=now, error=errors.to_document(error) if error else None, waiting=None)
    _free(work)


def hold(work: Document, error: FineTuneFlowError | None = None) -> None:
    """Make work PAUSED; error says why, if nobody asked. Work that has ended stays as it is."""
    if ended(work):
        return
    work.update(state="PAUSED", error=errors.to_document(error) if error else None, waiting=None)
    _free(work)


def _free(work: Document) -> None:
    work["lease"] = {**work["lease"], "owner": "", "boot": "", "expires": 0.0}


def pause(work: Document) -> None:
    """Ask work to pause: at once if nobody has taken it up, else by PAUSING. Work that ends stays as it is."""
    if work["state"] == "QUEUED":
        hold(work)
    elif work["state"] in ("STARTING", "RUNNING"):
        work.update(state="PAUSING", waiting=None)


def resume(work: Document, now: float) -> Document:
    """Return work that is to go on: queued again if it is at rest; PAUSING is taken back."""
    if at_rest(work):
        return {**queued(now, work["attempt"]), "lease": work["lease"]}
    return {**work, "state": "RUNNING", "waiting": None} if work["state"] == "PAUSING" else work


def cancel(work: Document, now: float) -> None:
    """Ask work to end: at once if nobody has taken it up, else by CANCELLING."""
    if work["state"] in ("QUEUED", "PAUSED"):
        finish(work, "CANCELLED", now)
    elif not ended(work):
        work.update(state="CANCELLING", waiting=None)


class Claim:
    """The right to do one piece of work, until its lease is lost."""

    def __init__(self, resources: Resources, doc: Document) -> None:
        self._resources = resources
        self._lease = dict(doc["work"]["lease"])
        self._told = 0.0
        self.doc = doc

    @property
    def name(self) -> str:
        """Name of the resource."""
        return str(self.doc["_id"])

    @property
    def attempt(self) -> int:
        """The attempt: 1, 2, 3, …"""
        return int(self.doc["work"]["attempt"])

    def _check(self, doc: Document) -> None:
        lease = doc["work"]["lease"]
        if lease["fence"] != self._lease["fence"] or lease["boot"] != self._lease["boot"]:
            raise Superseded(f"{self.name} is worked on elsewhere now.")
        if doc["work"]["state"] in ASKED_TO_STOP:
            raise Cancelled(f"{self.name} was asked to end or to pause.")

    async def update(self, mutate: Mutate, *, event: str = "", even_if_cancelling: bool = False) -> Document:
        """Change the resource if the claim still holds.

        Raises:
            Superseded: the claim is lost, or the resource is gone.
            Cancelled: the work was asked to end or to pause, and even_if_cancelling is not set.
        """

        def fenced(doc: Document) -> None:
            try:
                self._check(doc)
            except Cancelled:
                if not even_if_cancelling:
                    raise
            mutate(doc)

        try:
            self.doc = await self._resources.change(self.name, fenced, event=event)
        except NotFound as error:
            raise Superseded(f"{self.name} is gone.") from error
        return self.doc

    async def progress(self, phase: str, done: int, total: int, unit: str) -> None:
        """Say how far the work is; calls within 0.3 s of the last are left out unless the phase is new or done."""
        now = self._resources.clock.now()
        last = self.doc["work"]["progress"]
        if now - self._told < PROGRESS_SECONDS and last["phase"] == phase and done != total:
            return
        self._told = now

        def tell(doc: Document) -> None:
            doc["work"]["progress"] = {"phase": phase, "done": done, "total": total, "unit": unit}

        await self.update(tell)

    async def renew(self, lease_seconds: float) -> None:
        """Extend the lease. Raises as update does."""
        expires = self._resources.clock.now() + lease_seconds

        def extend(doc: Document) -> None:
            doc["work"]["lease"] = {**doc["work"]["lease"], "expires": expires}

        await self.update(extend)


async def watch(resources: Resources, name: str, poll_seconds: float = WATCH_SECONDS) -> AsyncIterator[Document]:
    """Yield a resource now and at every change until its work has ended or is paused.

    Changes of this process come at once, those of other replicas within poll_seconds. Changes faster than the reader
    are joined; the last state always comes.

    Raises:
        NotFound: there is no such resource, or it was deleted meanwhile.
    """
    changed = asyncio.Event()

    def note(doc: Document) -> None:
        if doc["_id"] == name:
            changed.set()

    end = resources.listen(note)
    seen = 0
    try:
        while True:
            changed.clear()
            doc = await resources.get(name)
            if doc["revision"] != seen:
                seen = doc["revision"]
                yield doc
            if at_rest(doc["work"]):
                return
            await event_or_time(changed, poll_seconds)
    finally:
        end()
