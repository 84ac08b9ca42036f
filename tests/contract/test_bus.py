"""The bus on a real nats-server: repeats, restarts, a stream that vanished."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable

import nats
import pytest

from services.common.bus import STREAM, Bus
from services.common.errors import InvalidArgument, Unavailable
from services.common.natsserver import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """A connected bus."""
    connected = await Bus.connect(nats_server.url)
    yield connected
    await connected.close()


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.02)


class Consumer:
    """A handler that remembers what it was given, running in the background."""

    def __init__(
        self, bus: Bus, durable: str = "ingest", subject: str = "ftf.events.file.*", failures: int = 0
    ) -> None:
        self.heard: list[bytes] = []
        self._failures = failures
        self.task = asyncio.create_task(bus.consume(durable, [subject], self._handle))

    async def _handle(self, data: bytes) -> None:
        self.heard.append(data)
        if self._failures:
            self._failures -= 1
            raise RuntimeError("not today")

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_consumer_hears_what_was_published_before_and_after_it_came(bus: Bus) -> None:
    """In order, each once, and only its own subjects."""
    await bus.publish("ftf.events.file.chunked", b"1")
    await bus.publish("ftf.events.run.finished", b"other")
    consumer = Consumer(bus)
    await until(lambda: consumer.heard == [b"1"])
    await bus.publish("ftf.events.file.deleted", b"2")
    await until(lambda: len(consumer.heard) == 2)

    assert consumer.heard == [b"1", b"2"]


async def test_a_message_id_is_taken_once(bus: Bus) -> None:
    """An outbox that repeats itself after a crash causes no second event."""
    for _ in range(3):
        await bus.publish("ftf.events.file.chunked", b"same", "event-1")
    await bus.publish("ftf.events.file.chunked", b"end", "event-2")
    consumer = Consumer(bus)
    await until(lambda: b"end" in consumer.heard)

    assert consumer.heard == [b"same", b"end"]


async def test_a_message_comes_again_after_its_handler_raised(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """The others do not wait for it, and the log says what failed."""
    consumer = Consumer(bus, failures=1)
    await bus.publish("ftf.events.file.chunked", b"1")
    await bus.publish("ftf.events.file.chunked", b"2")
    await until(lambda: len(consumer.heard) == 3)

    assert consumer.heard == [b"1", b"2", b"1"]
    assert any("not today" in record.getMessage() for record in caplog.records)


async def test_a_message_whose_handler_was_cancelled_comes_again_at_once(bus: Bus) -> None:
    """A replica that is shut down in the middle leaves its message to the next."""
    begun = asyncio.Event()

    async def hang(data: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    first = asyncio.create_task(bus.consume("ingest", ["ftf.events.file.*"], hang))
    await bus.publish("ftf.events.file.chunked", b"1")
    await begun.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = Consumer(bus)
    await until(lambda: second.heard == [b"1"], seconds=5)

    assert first.cancelled()


async def test_a_consumer_goes_on_where_its_name_left_off(nats_server: NatsServer, bus: Bus) -> None:
    """What was acknowledged does not come again, though the program is a new one."""
    consumer = Consumer(bus)
    await bus.publish("ftf.events.file.chunked", b"1")
    await until(lambda: consumer.heard == [b"1"])
    await consumer.stop()
    await bus.publish("ftf.events.file.chunked", b"2")
    later_bus = await Bus.connect(nats_server.url)
    later = Consumer(later_bus)
    await until(lambda: b"2" in later.heard)
    await later_bus.close()

    assert later.heard == [b"2"]


async def test_events_survive_a_kill_of_the_server(nats_server: NatsServer, bus: Bus) -> None:
    """It is started again at the same port with what it held; consumers and publishers find it by themselves."""
    await bus.publish("ftf.events.file.chunked", b"before")
    pid, url = nats_server.pid, nats_server.url
    os.kill(pid, 9)
    await until(lambda: not bus.connected)
    with pytest.raises(Unavailable):
        await bus.publish("ftf.events.file.chunked", b"away")
    await until(lambda: bus.connected)
    consumer = Consumer(bus)
    await bus.publish("ftf.events.file.chunked", b"after")
    await until(lambda: b"after" in consumer.heard)

    assert consumer.heard == [b"before", b"after"]
    assert nats_server.url == url
    assert nats_server.pid not in (0, pid)


async def test_a_consumer_survives_a_restart_of_the_server(nats_server: NatsServer, bus: Bus) -> None:
    """A pull that was under way when the server went down is made again."""
    consumer = Consumer(bus)
    await bus.publish("ftf.events.file.chunked", b"1")
    await until(lambda: consumer.heard == [b"1"])
    os.kill(nats_server.pid, 9)
    await until(lambda: not bus.connected)
    await until(lambda: bus.connected)
    await bus.publish("ftf.events.file.chunked", b"2")
    await until(lambda: consumer.heard == [b"1", b"2"])

    assert not consumer.task.done()


async def test_a_stream_that_vanished_is_made_again(nats_server: NatsServer, bus: Bus) -> None:
    """By the publisher or by the consumer, whoever comes first."""
    consumer = Consumer(bus)
    await bus.publish("ftf.events.file.chunked", b"1")
    await until(lambda: consumer.heard == [b"1"])
    operator = await nats.connect(nats_server.url)
    await operator.jetstream().delete_stream(STREAM)
    await operator.close()
    await bus.publish("ftf.events.file.chunked", b"2")
    await until(lambda: consumer.heard == [b"1", b"2"])

    assert not consumer.task.done()


async def test_a_tail_hears_what_is_live_and_nothing_older(bus: Bus) -> None:
    """Messages outside ftf.events. are not stored."""
    await bus.publish("ftf.live.run", b"old")
    async with bus.tail("ftf.live.run") as messages:
        for n in range(3):
            await bus.publish("ftf.live.run", f"{n}".encode())
        heard = [await anext(messages) for _ in range(3)]

    assert heard == [b"0", b"1", b"2"]


async def test_a_tail_survives_a_restart_of_the_server(nats_server: NatsServer, bus: Bus) -> None:
    """It hears what comes once the server is back."""
    async with bus.tail("ftf.live.run") as messages:
        os.kill(nats_server.pid, 9)
        await until(lambda: not bus.connected)
        await until(lambda: bus.connected)
        await bus.publish("ftf.live.run", b"again")

        assert await asyncio.wait_for(anext(messages), 5) == b"again"


async def test_closing_ends_consumers_and_tails(nats_server: NatsServer) -> None:
    """Nothing hangs and nothing is left running; closing again does nothing."""
    bus = await Bus.connect(nats_server.url)
    consumer = Consumer(bus)
    async with bus.tail("ftf.live.run") as messages:
        await bus.close()
        await bus.close()
        rest = [data async for data in messages]
    await asyncio.wait_for(consumer.task, 5)

    assert rest == []
    with pytest.raises(Unavailable):
        await bus.publish("ftf.live.run", b"1")


async def test_a_message_that_is_too_large_is_refused(bus: Bus) -> None:
    """A megabyte and more belongs into an object."""
    with pytest.raises(InvalidArgument):
        await bus.publish("ftf.events.file.chunked", b"x" * 1_100_000)


async def test_a_bus_without_a_server_works_once_there_is_one(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that starts before NATS says so once, and needs no restart."""
    folder = tmp_path_factory.mktemp("late")
    server = NatsServer(folder)
    await server.start()
    url = server.url
    await server.stop()
    with caplog.at_level(logging.INFO):
        bus = await Bus.connect(url)
        consumer = Consumer(bus)
        with pytest.raises(Unavailable):
            await bus.publish("ftf.events.file.chunked", b"1")
        async with bus.tail("ftf.live.run") as messages:
            again = NatsServer(folder, port=int(url.rpartition(":")[2]))
            await again.start()
            await until(lambda: bus.connected)
            await asyncio.sleep(0.1)
            await bus.publish("ftf.live.run", b"live")
            heard = await asyncio.wait_for(anext(messages), 5)
        await bus.publish("ftf.events.file.chunked", b"2")
        await until(lambda: consumer.heard == [b"2"])
        await bus.close()
        await again.stop()

    assert heard == b"live"
    assert len([record for record in caplog.records if record.name == "services.common.bus"]) == 1
