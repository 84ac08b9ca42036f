"""A copy of what the cluster holds of one kind, kept up by list and watch."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable

from services.common import incidents
from services.common.errors import FineTuneFlowError, Unavailable
from services.common.kube.api import Expired, KubeApi, Object, refusal

log = logging.getLogger(__name__)

STALE_SECONDS = 30.0
_FILL_SECONDS = 10.0
_RELIST_SECONDS = 60.0
_WATCH_SECONDS = 15
"""A watch is asked for anew this often, so that silence is never taken for peace."""
_SILENCE_SECONDS = 20.0
_MAX_BACKOFF = 5.0
_PAGE = 500


class Mirror:
    """The objects of one kind with our labels.

    It follows the cluster for as long as `run` runs: a list, then watches from where the last one ended, a new list
    each minute and whenever the API server no longer knows that place. While the server is away or busy it waits,
    as long as the server said, and goes on.

    Args:
        kind: plural, with its group: "batch/v1/jobs".
        selector: a label selector.
        changed: called with the kind of event ("ADDED", "MODIFIED", "DELETED") and the object, after it was taken in.
    """

    def __init__(self, api: KubeApi, kind: str, selector: str, changed: Callable[[str, Object], None]) -> None:
        self._api = api
        self._kind = kind
        self._selector = selector
        self._changed = changed
        self._objects: dict[str, Object] = {}
        self._gone: set[str] = set()
        self._seen = -STALE_SECONDS
        self._filled = asyncio.Event()

    async def items(self) -> list[Object]:
        """Return all objects, in no order. Waits for the first list for at most 10 s.

        Raises:
            Unavailable: there is none yet, or nothing was heard for 30 s.
        """
        if not self._filled.is_set():
            try:
                await asyncio.wait_for(self._filled.wait(), _FILL_SECONDS)
            except TimeoutError:
                raise _away("has not answered yet") from None
        if time.monotonic() - self._seen > STALE_SECONDS:
            raise _away(f"has not answered for {time.monotonic() - self._seen:.0f} seconds")
        return list(self._objects.values())

    def known(self) -> list[Object]:
        """Return what was last known, however old."""
        return list(self._objects.values())

    def put(self, thing: Object) -> None:
        """Take in what a call of our own returned, unless it is older than what is known."""
        uid = thing["metadata"]["uid"]
        if uid not in self._gone and _version(thing) > _version(self._objects.get(uid)):
            self._objects[uid] = _slim(thing)

    def remove(self, uid: str) -> None:
        """Forget an object that a call of our own removed; late events do not bring it back."""
        self._gone.add(uid)
        self._objects.pop(uid, None)

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        failures = 0
        while True:
            try:
                version = await self._list()
                failures = 0
                await self._watch(version)
            except Expired:
                log.info("%s: listed again, for the watch was too old", self._kind)
            except FineTuneFlowError as error:
                failures += 1
                if failures == 1:
                    log.warning("%s: %s", self._kind, error)
                await asyncio.sleep(max(error.retry_after, _pause(failures)))
            except Exception as error:  # without a mirror, nothing would be reconciled until the next start
                failures += 1
                incidents.report(log, f"Following {self._kind}", error)
                await asyncio.sleep(_pause(failures))

    async def _list(self) -> str:
        """Take everything in anew, and return from where to watch."""
        found: dict[str, Object] = {}
        query = {"labelSelector": self._selector, "limit": str(_PAGE)}
        while True:
            page = await self._api.get(self._api.path(self._kind), query)
            for thing in page.get("items") or []:
                found[thing["metadata"]["uid"]] = thing
            if not page["metadata"].get("continue"):
                break
            query["continue"] = page["metadata"]["continue"]
        self._heard()
        version = str(page["metadata"].get("resourceVersion", ""))
        # What we created while the list was under way is newer than it.
        gone = [u for u, known in self._objects.items() if u not in found and _version(known) <= _number(version)]
        for uid in gone:
            self._changed("DELETED", self._objects.pop(uid))
        self._gone &= found.keys()
        for thing in found.values():
            self._take_in("MODIFIED", thing)
        self._filled.set()
        return version

    async def _watch(self, version: str) -> None:
        """Take in changes until it is time for another list."""
        until = time.monotonic() + _RELIST_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, no secret
        while time.monotonic() < until:
            query = {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "labelSelector": self._selector,
                "resourceVersion": version,
                "timeoutSeconds": str(_WATCH_SECONDS),
            }
            async with self._api.stream(self._api.path(self._kind), query, _SILENCE_SECONDS) as chunks:
                self._heard()
                async for event in _events(chunks):
                    self._heard()
                    thing = event["object"]
                    version = thing["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._take_in(event["type"], thing)
            self._heard()

    def _take_in(self, kind: str, thing: Object) -> None:
        uid = thing["metadata"]["uid"]
        if kind == "DELETED":
            self._gone.discard(uid)
            known = self._objects.pop(uid, None)
            self._changed(kind, known or thing)
        elif uid not in self._gone and _version(thing) > _version(self._objects.get(uid)):
            kind = "MODIFIED" if uid in self._objects else "ADDED"
            self._objects[uid] = _slim(thing)
            self._changed(kind, thing)

    def _heard(self) -> None:
        self._seen = time.monotonic()


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Object]:
    """Yield the events of a watch; one that tells of an error is raised."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            try:
                event: Object = json.loads(line)
                kind, thing = event["type"], event["object"]
            except (ValueError, KeyError, TypeError):
                raise _away("sent what is no event") from None
            if kind == "ERROR":
                raise refusal(int(thing.get("code", 500)), json.dumps(thing), {})
            yield event


def _version(thing: Object | None) -> int:
    """Return how new an object is; versions of one kind are comparable whole numbers."""
    return _number(thing["metadata"].get("resourceVersion", "")) if thing else 0


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


def _slim(thing: Object) -> Object:
    """Leave out what nobody here reads and what is often the largest part."""
    meta = {key: value for key, value in thing["metadata"].items() if key != "managedFields"}
    return {**thing, "metadata": meta}


def _pause(failures: int) -> float:
    """Return seconds to wait after some failures in a row: more each time, never all at once."""
    limit = min(0.25 * 2**failures, _MAX_BACKOFF)
    return random.uniform(limit / 2, limit)  # noqa: S311 - spreads load, no secret


def _away(what: str) -> Unavailable:
    return Unavailable(
        f"The Kubernetes API server {what}. It is tried again; if it stays away, see to the control plane."
    )
