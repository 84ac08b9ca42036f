"""The mirror of a cluster's objects, over real HTTP: it follows through every trouble that an API server makes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from services.common.errors import Unavailable
from services.common.kube import watch
from services.common.kube.api import KubeApi, Object
from services.common.kube.watch import Mirror
from tests.fakes.kubernetes import FakeKubernetes, serving

PODS = "/api/v1/namespaces/ns/pods"


class Following:
    """A mirror that follows a fake server, and what it said."""

    def __init__(self, fake: FakeKubernetes, api: KubeApi) -> None:
        self.fake = fake
        self.told: list[tuple[str, str]] = []
        self.mirror = Mirror(api, "pods", "app=x", self._changed)

    def _changed(self, kind: str, thing: Object) -> None:
        self.told.append((kind, thing["metadata"]["name"]))

    async def names(self) -> list[str]:
        return sorted(thing["metadata"]["name"] for thing in await self.mirror.items())

    async def until(self, test: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not test():
            assert time.monotonic() < deadline, (self.told, self.fake.requests)
            await asyncio.sleep(0.01)

    def lists(self) -> int:
        """Return how often everything was listed."""
        return sum("watch=true" not in request for request in self.fake.requests)


@pytest.fixture
async def following() -> AsyncIterator[Following]:
    """A mirror of a server with two pods, once it watches."""
    fake = FakeKubernetes()
    fake.put(PODS, "a")
    fake.put(PODS, "b")
    async with serving(fake) as client:
        found = Following(fake, KubeApi(client, "ns"))
        task = asyncio.create_task(found.mirror.run())
        await found.until(lambda: fake.watched(PODS) == 1)
        yield found
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_holds_what_there_is_and_what_comes(following: Following) -> None:
    """And says what changed, each change once."""
    following.fake.put(PODS, "c")
    following.fake.put(PODS, "a", status={"phase": "Running"})
    following.fake.drop(PODS, "b")
    await following.until(lambda: ("DELETED", "b") in following.told)

    assert await following.names() == ["a", "c"]
    assert following.told == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("MODIFIED", "a"), ("DELETED", "b")]
    assert following.lists() == 1


async def test_a_watch_that_is_hung_up_goes_on_where_it_was(following: Following) -> None:
    """From the last event or bookmark, without a new list."""
    following.fake.bookmark(PODS, "500")
    following.fake.hang_up()
    await following.until(lambda: any("resourceVersion=500" in request for request in following.fake.requests))
    await following.until(lambda: following.fake.watched(PODS) == 1)
    following.fake._versions = iter(range(501, 600))  # type: ignore[assignment]  # a server goes on from its bookmark
    following.fake.put(PODS, "c")
    await following.until(lambda: ("ADDED", "c") in following.told)

    assert following.lists() == 1


async def test_a_place_that_is_forgotten_means_a_new_list(following: Following) -> None:
    """What happened in between is told as if it had been seen."""
    following.fake.objects[PODS].pop("b")
    following.fake.expire(PODS)
    await following.until(lambda: following.lists() == 2)
    await following.until(lambda: following.fake.watched(PODS) == 1)

    assert await following.names() == ["a"]
    assert ("DELETED", "b") in following.told


async def test_an_event_that_is_not_understood_ends_no_mirror(following: Following) -> None:
    """It is in the log, and everything is listed again."""
    following.fake.tell(PODS, {"type": "MODIFIED", "object": {}})
    await following.until(lambda: following.lists() == 2 and following.fake.watched(PODS) == 1)
    following.fake.put(PODS, "c")
    await following.until(lambda: ("ADDED", "c") in following.told)

    assert await following.names() == ["a", "b", "c"]


async def test_a_busy_server_is_given_the_time_it_asks_for(following: Following) -> None:
    """429 with Retry-After; what is known stays known meanwhile."""
    following.fake.troubles += [(429, {"Retry-After": "1"}, "too many requests")]
    began = time.monotonic()
    following.fake.hang_up()
    await following.until(lambda: not following.fake.troubles)
    meanwhile = await following.names()
    await following.until(lambda: following.fake.watched(PODS) == 1)

    assert time.monotonic() - began >= 1
    assert meanwhile == ["a", "b"]


async def test_errors_of_the_server_are_tried_again(following: Following) -> None:
    """Also nonsense in the middle of a watch."""
    following.fake.troubles += [(500, {}, "etcd"), (503, {}, "starting"), (401, {}, "token")]
    following.fake.tell(PODS, b"<html>\n")
    await following.until(lambda: not following.fake.troubles and following.fake.watched(PODS) == 1)
    following.fake.put(PODS, "c")
    await following.until(lambda: ("ADDED", "c") in following.told)

    assert await following.names() == ["a", "b", "c"]


async def test_what_was_not_heard_of_for_long_is_not_given_out(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that may be wrong is worse than none."""
    monkeypatch.setattr(watch, "STALE_SECONDS", 0.2)
    await asyncio.sleep(0.3)

    with pytest.raises(Unavailable, match="has not answered for"):
        await following.names()


async def test_without_a_first_list_there_is_nothing_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller waits a while, for a service that has just started."""
    monkeypatch.setattr(watch, "_FILL_SECONDS", 0.1)
    fake = FakeKubernetes()
    async with serving(fake) as client:
        mirror = Mirror(KubeApi(client, "ns"), "pods", "", lambda kind, thing: None)

        with pytest.raises(Unavailable, match="has not answered yet"):
            await mirror.items()


async def test_what_we_made_or_removed_ourselves_is_known_at_once(following: Following) -> None:
    """Late events of what is gone do not bring it back, and old copies do not replace new ones."""
    old = following.fake.objects[PODS]["a"]
    new = following.fake.put(PODS, "a", status={"phase": "Running"})
    following.mirror.put(new)
    following.mirror.put(old)
    following.mirror.remove("uid-b")
    following.fake.put(PODS, "b", status={"phase": "late"})
    following.fake.put(PODS, "c")
    await following.until(lambda: ("ADDED", "c") in following.told)
    states = {t["metadata"]["name"]: t.get("status") for t in await following.mirror.items()}

    assert states == {"a": {"phase": "Running"}, "c": None}
