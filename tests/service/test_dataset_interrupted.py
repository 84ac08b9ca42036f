"""Generation that is interrupted: by a restart, by hand, by a file that was cut anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from services.common.natsserver import NatsServer
from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    NAME,
    balanced,
    dataset_service,
    drops,
    ended,
    examples,
    generated,
    learnt,
    rows,
    state,
    until,
    wanted,
)
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm


@pytest.mark.parametrize("stops", [1, 3])
async def test_a_restart_repeats_no_answered_call_and_changes_nothing(tmp_path: Path, stops: int) -> None:
    """The services end in mid-generation, again and again; the dataset equals one that was never interrupted."""
    documents = library(6)
    async with llm(fake.hang(0.03)) as server, nats_of(tmp_path) as nats:
        async with dataset_service(tmp_path, server, documents, nats=nats) as (stub, _):
            await generated(stub, "whole")
            whole = await rows(stub, "projects/p/datasets/whole")
        begun = len(server.requests)
        for stop in range(stops):
            async with dataset_service(tmp_path, server, documents, nats=nats) as (stub, _):
                if stop == 0:
                    await stub.CreateDataset(wanted())
                await until(lambda want=begun + 8 * (stop + 1): len(server.requests) >= want)
        async with dataset_service(tmp_path, server, documents, nats=nats) as (stub, _):
            dataset = await ended(stub)
            again = await rows(stub)
            everything = await examples(stub, "*")

        asked = server.prompts[begun:]
        assert state(dataset) == "SUCCEEDED"
        assert learnt(again) == learnt(whole)
        assert len(everything) == len({e.name for e in everything}) == 36
        assert dataset.usage.calls == 36
        assert balanced(dataset)
        # What was in flight when it stopped may be asked again: at most max_concurrency calls for each stop.
        assert 36 <= len(asked) <= 36 + 4 * stops
        assert set(asked) == set(server.prompts[:begun])


async def test_cancelling_keeps_what_was_made_and_resume_completes_it(tmp_path: Path) -> None:
    """A cancelled dataset has its examples and counts, can be frozen as it is, and can go on later."""
    async with llm(fake.hang(0.05)) as server, dataset_service(tmp_path, server, library(6)) as (stub, _):
        await stub.CreateDataset(wanted())
        await until(lambda: len(server.requests) >= 12)
        await stub.CancelDataset(pb.CancelDatasetRequest(name=NAME))
        dataset = await ended(stub)
        kept = await examples(stub)

        assert state(dataset) == "CANCELLED"
        assert 0 < len(kept) == dataset.counts[-1].out < 36
        assert balanced(dataset)

        frozen = await stub.FreezeDataset(pb.FreezeDatasetRequest(name=NAME))
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

        assert len(await rows(stub, version=1)) == len(kept)
        assert len(frozen.versions) == 1
        assert state(dataset) == "SUCCEEDED"
        assert len(await rows(stub)) == 36
        assert [v.version for v in dataset.versions] == [1, 2]


async def test_an_example_that_was_deleted_stays_away_after_resume(tmp_path: Path) -> None:
    """A person's word stands, and the sums tell of it."""
    some = fake.first(*[fake.good] * 8, then=fake.status(401))
    async with llm(some) as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub)
        first = (await examples(stub))[0]
        await stub.DeleteExample(pb.DeleteExampleRequest(name=first.name))
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)

        assert first.name not in {e.name for e in await examples(stub, "*")}
        assert drops(dataset) == {"DELETED_BY_REVIEW": 1}
        assert balanced(dataset)


async def test_a_file_that_was_cut_anew_leaves_no_stale_example(tmp_path: Path) -> None:
    """Examples of chunks that are gone go too, when the dataset is resumed."""
    documents = library(2)
    some = fake.first(*[fake.good] * 6, then=fake.status(401))
    async with llm(some) as server, dataset_service(tmp_path, server, documents) as (stub, _):
        await generated(stub)
        documents.files = {name: [" ".join(chunks)] for name, chunks in documents.files.items()}
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        dataset = await ended(stub)
        everything = await examples(stub, "*")

        assert {e.chunk.rpartition("/")[2] for e in everything} == {"c0"}
        assert len(everything) == 6
        assert balanced(dataset)


class nats_of:
    """A nats-server that outlives several services."""

    def __init__(self, folder: Path) -> None:
        self._server = NatsServer(folder / "nats")

    async def __aenter__(self) -> NatsServer:
        await self._server.start()
        return self._server

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()
