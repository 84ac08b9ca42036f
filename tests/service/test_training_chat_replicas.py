"""Chats where the service has replicas, and Jobs may find no place: one process for a run, whoever is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.training.v1 import training_service_pb2 as pb
from finetuneflow.training.v1 import training_service_pb2_grpc
from services.common.channels import Peers
from services.common.clock import Clock, SystemClock
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import NotReady, Unavailable, Unreachable
from services.common.jobs.port import JobSpec
from services.common.natsserver import NatsServer
from services.training.chatclaims import Claims
from services.training.chatreplicas import SharedChats
from services.training.compose import compose
from services.training.peers import GrpcReplicas
from tests.fakes.chats import HERE, Cluster, chats_on, run
from tests.fakes.clock import FakeClock
from tests.fakes.running import Served, serving
from tests.fakes.upstream import usual
from tests.service.test_training import RUN, ended, fake_jobs, request
from tests.service.test_training_chat import TUNED, answers, jobs, question

THERE = "127.0.0.1:2"


class Replicas:
    """Replicas that fail, all in the same way; as if nobody were there, if nothing else is said."""

    def __init__(self, error: type[Unavailable] = Unreachable) -> None:
        self.error = error

    async def generate(self, address: str, request: pb.GenerateRequest) -> AsyncIterator[pb.GenerateResponse]:
        """Fail."""
        raise self.error("training does not answer. Wait.")
        yield

    async def unload(self, address: str, name: str) -> None:
        """Fail."""
        raise self.error("training does not answer. Wait.")


@asynccontextmanager
async def shared_on(
    cluster: Any, tmp_path: Path, *others: str, replicas: Any = None, clock: Clock | None = None
) -> AsyncIterator[tuple[SharedChats, list[Claims]]]:
    """The chats of one replica, with the claims of others at the same store; a lease is half a second."""
    store = SqliteDocuments(tmp_path / "documents.db")
    claims = [Claims(store.collection("chats"), address, clock or SystemClock(), 0.5) for address in (HERE, *others)]
    chats = SharedChats(chats_on(cluster, tmp_path), claims[0], run, cluster, replicas or Replicas())
    yield chats, claims[1:]
    await chats.close()
    await store.close()


def left_by(address: str, name: str = "chat-old") -> JobSpec:
    """A chat's Job of a replica."""
    return JobSpec(name, (), labels={"kind": "chat", "holder": address, "run": "1"})


@asynccontextmanager
async def two_replicas(folder: Path) -> AsyncIterator[tuple[list[Any], Served]]:
    """Two servers over the same stores and Jobs, and a run that has succeeded."""
    runner, nats = fake_jobs(folder, steps=2), NatsServer(folder / "nats")
    await nats.start()
    composes = {"training": compose, **usual().composes()}
    async with (
        serving(folder, composes, jobs=runner, nats=nats) as one,
        serving(folder, composes, jobs=runner, nats=nats) as two,
        one.channel() as first,
        two.channel() as second,
    ):
        stubs: list[Any] = [training_service_pb2_grpc.TrainingServiceStub(channel) for channel in (first, second)]
        await stubs[0].CreateRun(request())
        await ended(stubs[0])
        yield stubs, one
    for job in await runner.list():
        await runner.stop(job.name, 0)
    await nats.stop()


async def test_a_run_has_one_process_whichever_replica_is_asked(tmp_path: Path) -> None:
    """The other passes the question on, word by word, and what ends it; refusals come through as they are."""
    async with two_replicas(tmp_path) as ((one, two), served):
        first, pieces = await answers(two, question("Why?"))
        process = await jobs(served)
        second, more = await answers(one, question("And?", TUNED))
        same = await jobs(served)
        with pytest.raises(Exception, match="refuse") as refused:
            await answers(one, question("refuse"))
        await one.UnloadRun(pb.UnloadRunRequest(name=RUN))
        left = await jobs(served)

    assert [a.text for a in first] == ["SIDE_BASE of 2: Why?", "SIDE_TUNED of 2: Why?"]
    assert [a.text for a in second] == ["SIDE_TUNED of 2: And?"] == [more]
    assert pieces == "".join(a.text for a in first)
    assert len(process) == 1
    assert (process, left) == (same, [])
    assert "INVALID_FIELD" in str(refused.value.trailing_metadata())  # type: ignore[attr-defined]  # an AioRpcError


async def test_a_replica_that_does_not_answer_loses_its_run(tmp_path: Path) -> None:
    """Whoever is asked next takes it over at once; the Job of the lost one is removed, the new one's stays."""
    cluster = Cluster(left_by(THERE))
    async with shared_on(cluster, tmp_path, THERE) as (chats, (there,)):
        assert await there.take("1") is None
        asked = aiter(chats.generate(question("Why?"), passed_on=False))
        waiting = (await anext(asked)).waiting
        await chats.clear()
        await chats.keep()
        (job,) = cluster.jobs.values()

        assert waiting == "No room. Wait."
        assert job.labels["holder"] == HERE
        assert (job.restarts, job.args, job.priority) == (False, ("chat",), 7)
        assert (await there.find("1")) is not None
        await asked.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_what_was_passed_on_is_not_passed_on_again(tmp_path: Path) -> None:
    """Two replicas that each take the other for the one that has the models would never end."""
    async with shared_on(Cluster(), tmp_path, THERE) as (chats, (there,)):
        assert await there.take("1") is None
        with pytest.raises(NotReady) as caught:
            await anext(aiter(chats.generate(question("Why?"), passed_on=True)))

    assert caught.value.reason == "CHAT_ENDED"


async def test_jobs_of_a_replica_that_is_gone_are_removed_when_its_lease_is_over(tmp_path: Path) -> None:
    """Not before; at once those that an earlier process at this address left. A cluster that is away is waited for."""
    cluster = Cluster(left_by(THERE), left_by(HERE, "chat-mine"))
    cluster.away = 1
    async with shared_on(cluster, tmp_path, THERE) as (chats, (there,)):
        await there.take("1")
        tidying = asyncio.create_task(chats.run())
        async with asyncio.timeout(20):
            while "chat-mine" in cluster.jobs:  # nothing tells
                await there.take("1")
                await asyncio.sleep(0.02)
        before = list(cluster.jobs)
        async with asyncio.timeout(20):
            while cluster.jobs:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.02)
        tidying.cancel()

    assert before == ["chat-old"]


async def test_models_that_another_replica_took_over_are_let_go(tmp_path: Path) -> None:
    """As after a pause longer than the lease: the caller is told, and its Job goes."""
    cluster = Cluster()
    async with shared_on(cluster, tmp_path, THERE) as (chats, (there,)):
        asked = aiter(chats.generate(question("Why?", keep=600), passed_on=False))
        await anext(asked)
        async with asyncio.timeout(20):
            while await there.take("1") is not None:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.02)
        await chats.keep()
        with pytest.raises(NotReady) as caught:
            await anext(asked)

    assert caught.value.reason == "CHAT_ENDED"
    assert cluster.jobs == {}


async def test_a_replica_that_says_what_it_lacks_keeps_its_run(tmp_path: Path) -> None:
    """It lives: what it says reaches the caller, and its models are not loaded a second time."""
    cluster, there_says = Cluster(), Replicas(Unavailable)
    async with shared_on(cluster, tmp_path, THERE, replicas=there_says) as (chats, (there,)):
        await there.take("1")
        with pytest.raises(Unavailable, match="Wait"):
            await anext(aiter(chats.generate(question("Why?"), passed_on=False)))
        with pytest.raises(Unavailable, match="Wait"):
            await chats.unload(RUN, passed_on=False)

        assert await there.holders() == {"1": THERE}
        assert cluster.jobs == {}


async def test_nobody_at_an_address_is_told_as_such() -> None:
    """Whether a question or the end of models was to be passed on."""
    replicas = GrpcReplicas(Peers({}, lambda: "token"))
    with pytest.raises(Unreachable):
        await replicas.unload(HERE, RUN)
    with pytest.raises(Unreachable):
        await anext(aiter(replicas.generate(HERE, question("Why?"))))


async def test_models_that_are_asked_while_claims_are_renewed_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever had been read of the store before."""
    cluster = Cluster()
    async with shared_on(cluster, tmp_path, THERE) as (chats, (there,)):
        asked = aiter(chats.generate(question("Why?", keep=600), passed_on=False))
        take = Claims.take

        async def late(claims: Claims, run: str) -> Any:
            monkeypatch.undo()
            await anext(asked)
            return await take(claims, run)

        await there.take("other")
        chats._asked["other"] += 1
        monkeypatch.setattr(Claims, "take", late)
        await chats.keep()

        assert len(cluster.jobs) == 1
        assert (await there.find("1")) is not None


async def test_a_pause_longer_than_the_lease_costs_no_jobs(tmp_path: Path) -> None:
    """Of a laptop that slept, or of a store that was away: whoever lives renews its claims, in time after the pause."""
    cluster, clock = Cluster(left_by(THERE)), FakeClock()
    async with shared_on(cluster, tmp_path, THERE, clock=clock) as (chats, (there,)):
        await there.take("1")
        clock.turn(60)
        await chats.clear()
        await there.take("1")
        clock.turn(60)
        await chats.clear()
        before = list(cluster.jobs)
        clock.turn(0.5)
        await chats.clear()
        after, left = list(cluster.jobs), await chats._claims._collection.find({})
        await anext(aiter(chats.generate(question("Why?", keep=600), passed_on=False)))
        clock.turn(60)
        await chats.clear()

        assert (before, after, left) == (["chat-old"], [], [])
        assert len(cluster.jobs) == 1


async def test_a_replica_that_ends_leaves_its_runs_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its Jobs cannot be removed now; what it is asked afterwards it refuses."""
    cluster = Cluster()

    async def away(name: str) -> None:
        raise Unavailable("Nobody is there. Wait.")

    async with shared_on(cluster, tmp_path, THERE) as (chats, (there,)):
        await anext(aiter(chats.generate(question("Why?", keep=600), passed_on=False)))
        monkeypatch.setattr(cluster, "delete", away)
        with pytest.raises(Unavailable, match="Nobody is there"):
            await chats.close()
        await chats.keep()
        with pytest.raises(Unavailable, match="being stopped"):
            await anext(aiter(chats.generate(question("Why?"), passed_on=False)))

        assert await there.holders() == {}
