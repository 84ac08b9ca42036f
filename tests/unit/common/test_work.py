"""Work inside a service: claimed once, renewed, cancelled, taken over, fenced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from services.common.clock import SystemClock
from services.common.documents.port import Document
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import NotReady
from services.common.resources import INDEXES, Mutate, Resources
from services.common.work import Claim, OnHold, Superseded, cancel, pause, queued, resume, watch
from services.common.workloop import WorkLoop


@pytest.fixture
async def tasks(tmp_path: Path) -> AsyncIterator[Resources]:
    documents = SqliteDocuments(tmp_path / "tasks.db")
    yield Resources(documents.collection("tasks", INDEXES), "task", SystemClock())
    await documents.close()


@contextlib.asynccontextmanager
async def at_work(
    tasks: Resources, handler: Callable[[Claim], Awaitable[Mutate | None]], *, instance: str = "a", lease: float = 5
) -> AsyncIterator[asyncio.Task[None]]:
    loop = WorkLoop(tasks, handler, instance=instance, lease_seconds=lease, sweep_seconds=0.05, done_event="task.done")
    task = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def queue(tasks: Resources, name: str = "tasks/t") -> None:
    await tasks.create(name, {"work": queued(tasks.clock.now())})


async def end(tasks: Resources, name: str = "tasks/t") -> Document:
    async with asyncio.timeout(5):
        async for doc in watch(tasks, name, 0.1):
            last = doc
    return last


async def test_work_ends_with_its_last_change_and_its_event_in_one_write(tasks: Resources) -> None:
    """Whoever sees SUCCEEDED sees the result too."""
    await queue(tasks)

    async def handler(claim: Claim) -> Mutate:
        await claim.progress("count", 1, 2, "things")
        return lambda doc: doc.update(answer=42)

    async with at_work(tasks, handler):
        doc = await end(tasks)

    assert (doc["work"]["state"], doc["answer"], doc["work"]["attempt"]) == ("SUCCEEDED", 42, 1)
    assert [e["type"] for e in doc["outbox"]] == ["task.done"]


async def test_an_error_of_ours_fails_the_work_with_its_reason(tasks: Resources) -> None:
    """The reason and the remedy reach whoever asks."""
    await queue(tasks)

    async def handler(claim: Claim) -> None:
        raise NotReady("No text. Run OCR.", reason="NO_TEXT")

    async with at_work(tasks, handler):
        doc = await end(tasks)

    assert doc["work"]["state"] == "FAILED"
    assert doc["work"]["error"]["reason"] == "NO_TEXT"


async def test_a_mistake_of_ours_fails_the_work_without_a_traceback(tasks: Resources) -> None:
    """A traceback is for the log."""
    await queue(tasks)

    async def handler(claim: Claim) -> None:
        raise ZeroDivisionError("secret detail")

    async with at_work(tasks, handler):
        doc = await end(tasks)

    assert doc["work"]["error"]["reason"] == "INTERNAL"
    assert "secret detail" not in doc["work"]["error"]["message"]


async def test_cancelling_stops_the_handler_within_a_second(tasks: Resources) -> None:
    """The handler is cancelled where it stands, and nothing of its last change is written."""
    await queue(tasks)
    started = asyncio.Event()

    async def handler(claim: Claim) -> None:
        started.set()
        await asyncio.sleep(60)

    async with at_work(tasks, handler):
        await started.wait()
        await tasks.change("tasks/t", lambda d: cancel(d["work"], 0))
        async with asyncio.timeout(1):
            doc = await end(tasks)

    assert doc["work"]["state"] == "CANCELLED"


async def test_pausing_stops_the_handler_and_resuming_calls_it_again(tasks: Resources) -> None:
    """Nothing is at work in between, and whoever watches is told."""
    await queue(tasks)
    started = asyncio.Event()

    async def handler(claim: Claim) -> None:
        if claim.attempt == 1:
            started.set()
            await asyncio.sleep(60)

    def go_on(doc: Document) -> None:
        doc["work"] = resume(doc["work"], tasks.clock.now())

    async with at_work(tasks, handler):
        await started.wait()
        await tasks.change("tasks/t", lambda d: pause(d["work"]))
        paused = await end(tasks)
        await tasks.change("tasks/t", go_on)
        doc = await end(tasks)

    assert (paused["work"]["state"], paused["work"]["error"], paused["work"]["end_time"]) == ("PAUSED", None, None)
    assert (doc["work"]["state"], doc["work"]["attempt"]) == ("SUCCEEDED", 2)


async def test_what_was_not_begun_is_paused_at_once_and_not_begun(tasks: Resources) -> None:
    """QUEUED has nobody at work who could be asked; a paused piece can still be cancelled."""
    await queue(tasks)
    await queue(tasks, "tasks/other")
    begun: list[str] = []

    async def handler(claim: Claim) -> None:
        begun.append(claim.name)

    paused = await tasks.change("tasks/t", lambda d: pause(d["work"]))
    async with at_work(tasks, handler):
        await end(tasks, "tasks/other")
        await asyncio.sleep(0.15)
    doc = await tasks.change("tasks/t", lambda d: cancel(d["work"], 1))

    assert paused["work"]["state"] == "PAUSED"
    assert begun == ["tasks/other"]
    assert doc["work"]["state"] == "CANCELLED"


async def test_work_that_lacks_something_is_paused_with_the_reason(tasks: Resources) -> None:
    """PAUSED and not FAILED: it goes on when what it lacks is back."""
    await queue(tasks)

    async def handler(claim: Claim) -> None:
        raise OnHold(NotReady("The LLM is away. Resume.", reason="LLM_UNAVAILABLE"))

    async with at_work(tasks, handler):
        doc = await end(tasks)

    assert doc["work"]["state"] == "PAUSED"
    assert (doc["work"]["error"]["reason"], doc["work"]["error"]["code"]) == ("LLM_UNAVAILABLE", 9)
    assert doc["work"]["end_time"] is None


async def test_pausing_work_whose_process_is_gone_is_seen_to_by_the_next(tasks: Resources) -> None:
    """Also a request that nobody was there to hear."""
    await queue(tasks)

    def left_behind(doc: Document) -> None:
        doc["work"].update(state="PAUSING", attempt=1)

    await tasks.change("tasks/t", left_behind)

    async def handler(claim: Claim) -> None:
        raise AssertionError

    async with at_work(tasks, handler):
        doc = await end(tasks)

    assert (doc["work"]["state"], doc["work"]["attempt"]) == ("PAUSED", 1)


async def test_work_of_a_process_that_ended_is_taken_up_by_the_next_of_its_name(tasks: Resources) -> None:
    """After a restart nobody waits for a lease to run out."""
    await queue(tasks)
    attempts = []

    async def forever(claim: Claim) -> None:
        attempts.append(claim.attempt)
        await asyncio.sleep(60)

    async def quick(claim: Claim) -> None:
        attempts.append(claim.attempt)

    async with at_work(tasks, forever, lease=60):
        while not attempts:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    async with at_work(tasks, quick, lease=60):
        doc = await end(tasks)

    assert attempts == [1, 2]
    assert doc["work"]["state"] == "SUCCEEDED"


async def test_a_worker_that_wakes_up_late_is_refused(tasks: Resources) -> None:
    """Its lease ran out, another took over: the fencing number tells, and its write changes nothing."""
    await queue(tasks)
    claims: list[Claim] = []
    release = asyncio.Event()

    async def handler(claim: Claim) -> None:
        claims.append(claim)
        await release.wait()

    async with at_work(tasks, handler, instance="a", lease=60):
        while not claims:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)

        def expire(doc: Document) -> None:
            doc["work"]["lease"]["expires"] = 0.0

        await tasks.change("tasks/t", expire)
        async with at_work(tasks, handler, instance="b", lease=60):
            while len(claims) < 2:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            with pytest.raises(Superseded):
                await claims[0].update(lambda d: d.update(answer="late"))
            release.set()
            doc = await end(tasks)

    assert "answer" not in doc
    assert doc["work"]["attempt"] == 2


async def test_two_replicas_do_each_piece_of_work_once(tasks: Resources) -> None:
    """The compare-and-set lets one of them have it."""
    done: list[str] = []
    for number in range(10):
        await queue(tasks, f"tasks/t{number}")

    async def handler(claim: Claim) -> None:
        done.append(claim.name)

    async with at_work(tasks, handler, instance="a"), at_work(tasks, handler, instance="b"):
        for number in range(10):
            await end(tasks, f"tasks/t{number}")

    assert sorted(done) == [f"tasks/t{n}" for n in range(10)]


@pytest.mark.parametrize("state", ["RUNNING", "PAUSING"])
def test_work_that_is_asked_to_stop_or_to_go_on_waits_for_nothing_any_more(state: str) -> None:
    """What it waited for was said of the work as it ran."""
    waiting = {"reason": "LLM_AWAY", "message": "Away.", "since": 1.0}
    cancelled, paused, resumed = ({**queued(0), "state": state, "waiting": waiting} for _ in range(3))
    cancel(cancelled, 1)
    pause(paused)
    resumed = resume({**resumed, "state": "PAUSING"}, 1)

    assert (cancelled["state"], cancelled["waiting"]) == ("CANCELLING", None)
    assert paused["state"] == "PAUSING"
    assert paused["waiting"] is (None if state == "RUNNING" else waiting)
    assert (resumed["state"], resumed["waiting"]) == ("RUNNING", None)


async def test_work_that_is_taken_up_again_waits_for_nothing_yet(tasks: Resources) -> None:
    """Its process was killed while it waited; the next one has not looked."""
    work = queued(0)
    gone = {"owner": "a", "boot": "earlier", "expires": 0.0, "fence": 1}
    waiting = {"reason": "LLM_AWAY", "message": "Away.", "since": 1.0}
    await tasks.create("tasks/t", {"work": {**work, "state": "RUNNING", "lease": gone, "waiting": waiting}})
    seen = []

    async def handler(claim: Claim) -> None:
        seen.append(claim.doc["work"]["waiting"])

    async with at_work(tasks, handler):
        await end(tasks)

    assert seen == [None]
