"""Faults of NATS, MongoDB and the object store."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import nats
import pytest

from services.common.bus import STREAM
from tests.cluster.faults.faulty import LONG, OUTAGE

if TYPE_CHECKING:
    from tests.cluster.faults.faulty import Faulty

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.timeout(400),
]


async def test_nats_stopped_and_its_stream_deleted_costs_time_alone(faulty: Faulty) -> None:
    """Events wake and tell; they are never the truth."""
    stores = faulty.release.stores
    name = await faulty.create(LONG)
    async with faulty.census(name) as most:
        await faulty.steps(name, 5)
        await asyncio.to_thread(stores.nats.stop)
        await asyncio.sleep(OUTAGE / 2)
        await asyncio.to_thread(stores.nats.start)
        client = await nats.connect(stores.nats_url)
        with contextlib.suppress(nats.js.errors.NotFoundError):
            await client.jsm().delete_stream(STREAM)
        await client.close()
        run = await faulty.settled(name)
    await faulty.release.until_ready()

    assert len(run.attempts) == 1
    assert most == [1]


async def test_a_stopped_mongodb_loses_no_report(faulty: Faulty) -> None:
    """The trainer keeps its reports until they are acknowledged."""
    stores = faulty.release.stores
    name = await faulty.create(LONG)
    async with faulty.census(name) as most:
        await faulty.steps(name, 5)
        await asyncio.to_thread(stores.mongo.stop)
        await asyncio.sleep(OUTAGE)
        await asyncio.to_thread(stores.mongo.start)
        run = await faulty.settled(name, seconds=240 + OUTAGE)
    await faulty.release.until_ready()

    assert len(run.attempts) == 1
    assert most == [1]


async def test_a_stopped_minio_in_mid_upload_is_waited_for(faulty: Faulty) -> None:
    """A checkpoint of 200 MB is under way when the store goes; it is whole in the end."""
    stores = faulty.release.stores
    name = await faulty.create({**LONG, "save_steps": 10, "file_bytes": 200_000_000, "steps": 40})
    async with faulty.census(name) as most:
        await faulty.steps(name, 10)
        await asyncio.to_thread(stores.s3.stop)
        await asyncio.sleep(OUTAGE)
        await asyncio.to_thread(stores.s3.start)
        run = await faulty.settled(name)
    await faulty.release.until_ready()

    assert len(run.attempts) == 1
    assert most == [1]
    assert run.checkpoints
