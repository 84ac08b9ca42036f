"""Logs of pods: followed, kept when a pod has ended, read from wherever they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import Unavailable
from services.common.jobs import loglines
from services.common.jobs.loglines import LogTail, log_lines
from services.common.kube import logs
from services.common.kube.api import KubeApi
from services.common.kube.logs import PodLogs, log_prefix
from services.common.objects.folder import FolderObjects
from services.common.objects.port import Stored
from tests.fakes.kubernetes import FakeKubernetes, serving

PODS = "/api/v1/namespaces/ns/pods"
RUNNING = {"running": {}}
ENDED = {"terminated": {"exitCode": 0}}


class Shaky(FolderObjects):
    """A store that is away for some writes."""

    refusals = 0

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> Stored:
        """Refuse, or store."""
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("The store is away. Wait.")
        return await super().put(key, data)


class Logs:
    """Logs of pods over a fake API server."""

    def __init__(self, fake: FakeKubernetes, api: KubeApi, objects: Shaky) -> None:
        self.fake, self.objects = fake, objects
        self.pods = PodLogs(api, objects)

    def pod(self, name: str, state: dict[str, Any], job: str = "run-abc-1", made: str = "2026-01-01T00:00:00Z") -> Any:
        """Create or change a pod, and let the logs notice."""
        labels = {"batch.kubernetes.io/job-name": job}
        statuses = [{"name": "trainer", "state": state}]
        pod = self.fake.put(
            PODS,
            name,
            metadata={"labels": labels, "creationTimestamp": made},
            status={"containerStatuses": statuses, "phase": "Running"},
        )
        self.pods.notice("MODIFIED", pod)
        return pod

    async def lines(self, job: str = "run-abc-1") -> list[str]:
        pods = list(self.fake.objects.get(PODS, {}).values())
        return [line async for line in self.pods.lines(job, pods)]

    async def kept(self) -> list[str]:
        return [key async for key in self.objects.list("")]


@pytest.fixture
async def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Logs]:
    """Logs of no pods yet."""
    monkeypatch.setattr(logs, "_RETRY_SECONDS", 0.05)
    fake = FakeKubernetes()
    async with serving(fake) as client:
        made = Logs(fake, KubeApi(client, "ns"), Shaky(tmp_path))
        yield made
        await made.pods.close()


async def until(test: Callable[[], Awaitable[object]]) -> None:
    deadline = time.monotonic() + 10
    while not await test():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)


async def test_a_log_is_read_while_it_is_written_and_kept_when_its_pod_has_ended(found: Logs) -> None:
    """Under the run's uid and launch, named by when the pod was made."""
    found.fake.logs["p1"] = [b"one\n", b"1%\r50%\r100%\n"]
    found.pod("p1", RUNNING)
    await until(lambda: _has(found, ["one", "100%"]))
    live = await found.kept()
    found.fake.logs["p1"].append(b"end")
    found.pod("p1", ENDED)
    found.fake.log_open.set()
    await until(found.kept)
    found.fake.objects[PODS].clear()

    assert live == []
    assert await found.kept() == ["runs/abc/logs/0001/20260101T000000Z-p1.log"]
    assert await found.lines() == ["one", "100%", "end"]


async def _has(found: Logs, lines: list[str]) -> bool:
    return await found.lines() == lines


async def test_every_pod_of_a_job_is_in_its_log_in_order(found: Logs) -> None:
    """Those that ended, those that run, and not those of other Jobs."""
    found.fake.log_open.set()
    for name, made in (("zz", "2026-01-01T00:00:00Z"), ("aa", "2026-01-01T00:00:10Z")):
        found.fake.logs[name] = [f"{name}\n".encode()]
        found.pod(name, ENDED, made=made)
    found.fake.logs["other"] = [b"other\n"]
    found.pod("other", ENDED, job="run-abc-2")
    await until(lambda: _kept(found, 3))
    found.fake.objects[PODS].clear()

    assert await found.lines() == ["zz", "aa"]
    assert await found.lines("run-abc-2") == ["other"]


async def _kept(found: Logs, count: int) -> bool:
    return len(await found.kept()) == count


async def test_a_pod_that_vanished_leaves_what_was_read(found: Logs) -> None:
    """As when it was evicted and removed at once."""
    found.fake.logs["p1"] = [b"last words\n"]
    pod = found.pod("p1", RUNNING)
    await until(lambda: _followed(found))
    del found.fake.logs["p1"]
    found.fake.drop(PODS, "p1")
    found.pods.notice("DELETED", pod)
    found.fake.log_open.set()
    await until(found.kept)

    assert await found.lines() == ["last words"]


async def test_of_a_pod_that_went_unread_nothing_is_kept(found: Logs) -> None:
    """The replica that has read it may keep its log later; the first to keep one has the last word."""
    found.pod("p1", ENDED)
    found.fake.drop(PODS, "p1")
    await until(lambda: _followed_to_its_end(found))
    await found.objects.put("runs/abc/logs/0001/20260101T000000Z-p1.log", b"one\n")

    assert await found.lines() == ["one"]


async def _followed_to_its_end(found: Logs) -> bool:
    return not found.pods._tasks


async def test_a_log_that_comes_back_shorter_replaces_nothing(found: Logs) -> None:
    """As when a node rotates it, or a pod is on its way out."""
    found.fake.logs["p1"] = [b"one\n", b"two\n"]
    found.pod("p1", RUNNING)
    await until(lambda: _followed(found, 8))
    found.fake.logs["p1"] = [b"two\n"]
    found.pod("p1", ENDED)
    found.fake.log_open.set()
    await until(found.kept)
    found.fake.objects[PODS].clear()

    assert await found.lines() == ["one", "two"]


async def _followed(found: Logs, size: int = 1) -> bool:
    return any(tail.size >= size for tail in found.pods._tails.values())


async def test_trouble_with_the_api_server_costs_nothing(found: Logs) -> None:
    """The log is read again from its beginning."""
    found.fake.troubles += [(503, {}, "starting"), (500, {}, "etcd")]
    found.fake.logs["p1"] = [b"one\n"]
    found.fake.log_open.set()
    found.pod("p1", ENDED)
    await until(found.kept)

    assert await found.lines() == ["one"]


async def test_a_store_that_is_away_is_waited_for(found: Logs) -> None:
    """The log is kept when it is back."""
    found.objects.refusals = 2
    found.fake.logs["p1"] = [b"one\n"]
    found.fake.log_open.set()
    found.pod("p1", ENDED)
    await until(found.kept)

    assert found.objects.refusals == 0


async def test_what_was_kept_is_not_read_again(found: Logs) -> None:
    """By the next runner either, which sees the pod for the first time."""
    found.fake.logs["p1"] = [b"one\n"]
    found.fake.log_open.set()
    pod = found.pod("p1", ENDED)
    await until(found.kept)
    asked = len(found.fake.requests)
    another = PodLogs(found.pods._api, found.objects)
    another.notice("ADDED", pod)
    await another.finish("run-abc-1")

    assert len(found.fake.requests) == asked


async def test_forgetting_a_job_removes_its_logs(found: Logs) -> None:
    """And ends following; those of other launches stay."""
    found.fake.logs |= {"p1": [b"one\n"], "p2": [b"two\n"]}
    found.fake.log_open.set()
    found.pod("p1", ENDED)
    found.pod("p2", ENDED, job="run-abc-2")
    await until(lambda: _kept(found, 2))
    await found.pods.forget("run-abc-1")

    assert await found.kept() == ["runs/abc/logs/0002/20260101T000000Z-p2.log"]


async def test_a_container_that_has_not_started_has_no_log(found: Logs) -> None:
    """Nobody asks for it."""
    found.pod("p1", {"waiting": {"reason": "ContainerCreating"}})

    assert await found.lines() == []


def test_of_a_very_long_log_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded memory."""
    monkeypatch.setattr(loglines, "LOG_BYTES", 100)
    tail = LogTail()
    for n in range(1000):
        tail.feed(f"{n:09d}\n".encode())

    assert tail.lines() == [f"{n:09d}" for n in range(990, 1000)]
    assert tail.size == 10_000


def test_lines_whatever_the_bytes() -> None:
    """Of a progress bar the last state, of what is no text a sign."""
    assert log_lines(b"1%\r50%\r100%\n\xff\r\n\nend") == ["100%", "\ufffd", "", "end"]
    assert log_lines(b"") == []


@pytest.mark.parametrize(
    ("job", "prefix"),
    [
        ("run-abc-1", "runs/abc/logs/0001/"),
        ("export-a-b-12", "exports/a-b/logs/0012/"),
        ("strange", "jobs/strange/logs/"),
    ],
)
def test_where_a_jobs_logs_lie(job: str, prefix: str) -> None:
    """Its name says it, so that they are found when the Job is gone."""
    assert log_prefix(job) == prefix
