"""Events on NATS JetStream: they wake and tell, and are never the truth.

`ftf.events.>` is kept in one stream for seven days, and a message id is taken once in two minutes. `ftf.live.>` is not
kept: who listens hears it. While NATS is away, publishing raises Unavailable, and consumers wait for it to come back. A
stream that vanished is made again by whoever notices first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import nats
import nats.aio.client
import nats.aio.msg
import nats.errors
import nats.js.api
import nats.js.errors

from services.common import connecting
from services.common.busdelivery import ACK_SECONDS, Handler, take
from services.common.buserrors import AWAY, explain
from services.common.errors import InvalidArgument, Unavailable
from services.common.natsurl import malformed, parted
from services.common.waiting import end

log = logging.getLogger(__name__)

STREAM = "FTF"
EVENTS = "ftf.events."
KEEP_SECONDS = 7 * 86_400
DEDUP_SECONDS = 120

_PATIENCE_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 5.0
_TAIL_MESSAGES = 1_000


class Bus:
    """One connection to NATS. Make it with connect, end it with close."""

    def __init__(self, replicas: int = 1) -> None:
        self._client = nats.aio.client.Client()
        self._stream = nats.js.api.StreamConfig(
            name=STREAM,
            subjects=[EVENTS + ">"],
            retention=nats.js.api.RetentionPolicy.LIMITS,
            max_age=KEEP_SECONDS,
            duplicate_window=DEDUP_SECONDS,
            num_replicas=replicas,
        )
        self._connecting: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._consumers: set[asyncio.Task[None]] = set()
        self._tails: set[asyncio.Queue[bytes | None]] = set()
        self._closed = False
        self._refused = False
        self._untrusted = ""

    @classmethod
    async def connect(cls, url: str, *, user: str = "", password: str = "", token: str = "", replicas: int = 1) -> Bus:
        """Connect, and connect again whenever the connection is lost, until closed.

        Returns after two seconds at the latest, connected or not; nothing is raised for a server that is away.

        Args:
            url: nats://host:port, several joined by commas; may carry user:password@, percent-encoded.
            user: with `password`, or `token`, if the URL has no credentials.
            replicas: copies of the stream in a cluster of NATS servers, 1 to 5; used when it is made.

        Raises:
            InvalidArgument: the URL is malformed (CONFIGURATION); it is not shown.
        """
        bus = cls(replicas)
        servers, credentials = parted(url)
        options = {"user": user or None, "password": password or None, "token": token or None, **credentials}
        bus._connecting = asyncio.create_task(bus._connect(servers, options), name="nats-connect")
        done, _ = await asyncio.wait([bus._connecting], timeout=_CONNECT_SECONDS)
        if done and bus._connecting.exception():  # for a server that is away, the driver goes on trying
            raise malformed()
        if not bus.connected:
            log.warning("%s; events wait until it does.", bus.silence)
        return bus

    @property
    def connected(self) -> bool:
        """Whether the server is there at the moment."""
        return self._up.is_set()

    @property
    def silence(self) -> str:
        """That the server does not answer, with the remedy where it is its certificate."""
        return f"NATS does not answer ({self._untrusted})" if self._untrusted else "NATS does not answer"

    async def publish(self, subject: str, data: bytes, msg_id: str = "") -> None:
        """Publish a message; one under ftf.events. is stored when this returns.

        Args:
            subject: ftf.events.<type> for events, ftf.live.<…> for what only present listeners need.
            data: at most 1 MiB.
            msg_id: repeating a message of ftf.events. with the same id within two minutes stores nothing more.

        Raises:
            Unavailable: NATS is away, or did not confirm; it may have been stored. Repeat it with the same id.
            InvalidArgument: the message is too large.
        """
        if not self.connected:
            raise Unavailable("NATS does not answer. Wait until it is back, then repeat.")
        try:
            if subject.startswith(EVENTS):
                await self._store(subject, data, {"Nats-Msg-Id": msg_id} if msg_id else None)
            else:
                await self._client.publish(subject, data)
        except nats.errors.MaxPayloadError as error:
            raise InvalidArgument(f"A message of {len(data)} bytes is too large for NATS. Send less.") from error
        except AWAY as error:
            raise explain(error) from error

    async def check(self) -> None:
        """Make sure that events can be kept: JetStream is on, and its stream has as many copies as are wanted.

        A server that is away is no fault: events wait for it.

        Raises:
            Unavailable: with reason CONFIGURATION, a setting is wrong; else NATS went away in between.
        """
        if self._refused:
            raise Unavailable(
                "NATS refuses the user and password, or the token, of FTF_NATS_URL (nats of the chart). Correct them.",
                reason="CONFIGURATION",
            )
        if not self.connected:
            return
        try:
            await self._make_stream()
            manager = self._client.jsm(timeout=_PATIENCE_SECONDS)
            kept = (await manager.stream_info(STREAM)).config.num_replicas or 1
            if kept < (self._stream.num_replicas or 1):
                await manager.update_stream(self._stream)
        except AWAY as error:
            raise explain(error) from error

    async def consume(self, durable: str, subjects: Sequence[str], handler: Handler) -> None:
        """Hand every message of the subjects to the handler, one at a time, until cancelled or the bus is closed.

        A message is acknowledged after its handler has returned. If the handler raises, or the program dies, it comes
        again, after one second at first and thirty at last, without end; so handlers must bear repeats.

        Args:
            durable: name under which the server keeps the place; replicas with the same name share the messages.
            subjects: under ftf.events. ; wildcards as in NATS.
        """
        task = asyncio.create_task(self._consume(durable, subjects, handler), name=f"consume-{durable}")
        self._consumers.add(task)
        try:
            await asyncio.wait([task])
        finally:
            await end([task])
            self._consumers.discard(task)

    @contextlib.asynccontextmanager
    async def tail(self, subject: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield an iterator of what is published from now on; nothing is kept, so messages can be missed.

        While NATS is away the iterator is silent. It ends when the bus is closed. A listener that is more than 1,000
        messages behind misses the oldest.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._tails.add(queue)

        async def heard(message: nats.aio.msg.Msg) -> None:
            if queue.qsize() >= _TAIL_MESSAGES:
                queue.get_nowait()
            queue.put_nowait(message.data)

        listening = asyncio.create_task(self._listen(subject, heard), name=f"tail-{subject}")
        await asyncio.wait([listening], timeout=_PATIENCE_SECONDS if self.connected else 0)
        try:
            yield _until_none(queue)
        finally:
            self._tails.discard(queue)
            await end([listening])
            if not listening.cancelled() and not listening.exception() and not self._client.is_closed:
                with contextlib.suppress(*AWAY):
                    await listening.result().unsubscribe()

    async def close(self) -> None:
        """End the consumers and the tails, then the connection. Repeating it does nothing."""
        self._closed = True
        await end(list(self._consumers))
        for queue in self._tails:
            queue.put_nowait(None)
        if self._connecting:
            await end([self._connecting])
        with contextlib.suppress(*AWAY):
            await self._client.close()

    async def _store(self, subject: str, data: bytes, headers: dict[str, str] | None) -> None:
        stream = self._client.jetstream(timeout=_PATIENCE_SECONDS)
        try:
            await stream.publish(subject, data, headers=headers)
        except (nats.js.errors.NoStreamResponseError, nats.errors.TimeoutError):
            # Where somebody only listens on the subject, a missing stream shows as a timeout. Message ids make it safe.
            await self._make_stream()
            await stream.publish(subject, data, headers=headers)

    async def _make_stream(self) -> None:
        manager = self._client.jsm(timeout=_PATIENCE_SECONDS)
        try:
            await manager.stream_info(STREAM)
        except nats.js.errors.NotFoundError:
            await manager.add_stream(self._stream)

    async def _consume(self, durable: str, subjects: Sequence[str], handler: Handler) -> None:
        backoff = 0.1
        while True:
            try:
                subscription = await self._subscribe(durable, subjects)
                backoff = 0.1
                try:
                    while True:
                        await take(subscription, durable, handler)
                finally:
                    with contextlib.suppress(*AWAY):
                        await subscription.unsubscribe()
            except AWAY as error:
                log.debug("%s waits for NATS: %s", durable, error)
            except Exception:
                # The driver's own mistakes while a connection breaks must not end the program; the next turn is fresh.
                log.exception("%s met an error that is not NATS's; it goes on.", durable)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _MAX_BACKOFF_SECONDS)

    async def _subscribe(self, durable: str, subjects: Sequence[str]) -> Any:
        if not self.connected:
            raise nats.errors.ConnectionReconnectingError
        await self._make_stream()
        config = nats.js.api.ConsumerConfig(
            durable_name=durable,
            filter_subjects=list(subjects),
            ack_policy=nats.js.api.AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS,
            max_deliver=-1,
        )
        await self._client.jsm(timeout=_PATIENCE_SECONDS).add_consumer(STREAM, config)
        stream = self._client.jetstream(timeout=_PATIENCE_SECONDS)
        return await stream.pull_subscribe_bind(durable=durable, stream=STREAM)

    async def _listen(self, subject: str, heard: Callable[[Any], Awaitable[None]]) -> Any:
        await self._up.wait()
        subscription = await self._client.subscribe(subject, cb=heard)
        with contextlib.suppress(*AWAY):
            await self._client.flush(int(_PATIENCE_SECONDS))
        return subscription

    async def _connect(self, servers: list[str], options: dict[str, Any]) -> None:
        options |= {"max_reconnect_attempts": -1, "reconnect_time_wait": _RETRY_SECONDS, "ping_interval": 20}
        options |= {"error_cb": self._note, "disconnected_cb": self._lost, "reconnected_cb": self._found}
        await self._client.connect(servers, name="finetuneflow", **options)
        self._refused, self._untrusted = False, ""
        self._up.set()

    async def _note(self, error: Exception) -> None:
        self._refused = self._refused or "authorization" in str(error).lower()
        if isinstance(error, ssl.SSLCertVerificationError):
            self._untrusted = connecting.why(error)
        log.debug("NATS: %s", error)

    async def _found(self) -> None:
        self._refused, self._untrusted = False, ""
        self._up.set()
        log.info("The connection to NATS is back.")

    async def _lost(self) -> None:
        self._up.clear()
        if not self._closed:
            log.warning("The connection to NATS is lost; events wait until it is back.")


async def _until_none(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    while (data := await queue.get()) is not None:
        yield data
