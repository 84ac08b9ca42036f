"""One thread that owns one SQLite file: everything asked of the file runs there, in the order it was asked.

Waiting for the disk is what a durable write costs, so writes that wait together are committed together. Nobody gets an
answer before its commit, and an operation that fails takes nothing of its neighbours with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.common.errors import FineTuneFlowError, Unavailable

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]

_MAX_BATCH = 256


@dataclass
class _Request:
    operation: Operation
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = field(default=None)
    error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class WriterThread:
    """Runs operations on a connection that it takes over.

    Args:
        connection: opened with check_same_thread=False and isolation_level=None.
        explain: turns an sqlite3.Error into one of ours.
    """

    def __init__(self, connection: sqlite3.Connection, explain: Callable[[sqlite3.Error], FineTuneFlowError]) -> None:
        self._connection = connection
        self._explain = explain
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="documents", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
        """Run the operation on the thread; one that writes is durable when this returns.

        The operation may be run more than once, each time as if it had not run before.

        Raises:
            FineTuneFlowError: what the operation raised, or what SQLite's error was explained as.
            Unavailable: the thread has been closed.
        """
        if self._closed:
            raise Unavailable("The document store is closed. Start the service again.")
        loop = asyncio.get_running_loop()
        request = _Request(operation, writes, loop, loop.create_future())
        self._requests.put(request)
        result: T = await request.future
        return result

    async def close(self) -> None:
        """Finish what was asked before, then close the connection. Repeating it waits for the same end."""
        if not self._closed:
            self._closed = True
            self._requests.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        ending = False
        while not ending:
            batch = [self._requests.get()]
            while len(batch) < _MAX_BATCH:
                try:
                    batch.append(self._requests.get_nowait())
                except queue.Empty:
                    break
            ending = None in batch
            requests = [request for request in batch if request is not None]
            self._batch(requests)
            _answer(requests)
        self._connection.close()

    def _batch(self, requests: list[_Request]) -> None:
        try:
            self._transaction(requests)
        except sqlite3.Error as error:
            self._rollback()
            if len(requests) > 1:  # all is undone; alone, each one meets only its own trouble
                for request in requests:
                    self._batch([request])
            else:
                requests[0].error = self._explain(error)

    def _transaction(self, requests: list[_Request]) -> None:
        connection = self._connection
        writes = any(request.writes for request in requests)
        if writes:
            connection.execute("BEGIN IMMEDIATE")
        for request in requests:
            _attempt(connection, request)
        if not writes:
            return
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:  # it may have been committed in part of the cases, so nothing is run again
            self._rollback()
            for request in requests:
                request.result, request.error = None, self._explain(error)

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # SQLite rolls back by itself when the disk is full
                self._connection.execute("ROLLBACK")


def _answer(requests: list[_Request]) -> None:
    """Give the results to those who wait, waking each of their loops once: that costs more than many a write."""
    loops: dict[asyncio.AbstractEventLoop, list[_Request]] = {}
    for request in requests:
        loops.setdefault(request.loop, []).append(request)
    for loop, theirs in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop that asked is gone, so nobody waits for the answer
            loop.call_soon_threadsafe(_settle, theirs)


def _settle(requests: list[_Request]) -> None:
    for request in requests:
        request.settle()


def _attempt(connection: sqlite3.Connection, request: _Request) -> None:
    """Run one operation so that its own errors undo its own changes; those of SQLite end the whole batch."""
    request.result = request.error = None
    savepoint = request.writes
    if savepoint:
        connection.execute("SAVEPOINT operation")
    try:
        request.result = request.operation(connection)
    except sqlite3.Error:
        raise
    except Exception as error:  # handed to the caller that awaits it
        request.error = error
        if savepoint:
            connection.execute("ROLLBACK TO operation")
    if savepoint:
        connection.execute("RELEASE operation")
