"""The report stream: batches up, acknowledgements and commands down, opened again for as long as the attempt lives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.errors import FineTuneFlowError, NotFound, Unavailable
from services.trainer.config import Patience
from services.trainer.spool import Spool
from services.trainer.worker import Worker, as_error

log = logging.getLogger(__name__)


class Stream:
    """Carries a spool to the service from a thread of its own.

    Every connection begins after the last acknowledged report, so nothing is lost; the service drops what it has, so
    nothing is doubled.

    Args:
        worker: the line to the service.
        spool: what to carry.
        patience: pauses.
        command: called with each command that comes down, from the stream's thread.
    """

    def __init__(
        self, worker: Worker, spool: Spool, patience: Patience, command: Callable[[pb.Command.ValueType], None]
    ) -> None:
        self._worker = worker
        self._spool = spool
        self._patience = patience
        self._command = command
        self._hurry = threading.Event()
        self._closed = threading.Event()
        self._call: Any = None
        self._answered = 0.0
        self._cpu: dict[object, float] = {}
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def hurry(self) -> None:
        """Send every report at once from now on; used at the end."""
        self._hurry.set()

    def close(self) -> None:
        """Break off and end the thread, with or without everything acknowledged."""
        self._closed.set()
        self._hurry.set()
        self._cancel()
        self._thread.join(timeout=10)

    def watch(self) -> None:
        """Break off a connection that has not answered for `Patience.ack`; it is then opened again."""
        if self._call is not None and time.monotonic() - self._answered > self._patience.ack:
            log.warning("The service has not answered for %.0f s; connecting again.", self._patience.ack)
            self._answered = time.monotonic()
            self._cancel()

    def cpu_seconds(self) -> float:
        """Return the processor time that the stream's threads have used."""
        return sum(self._cpu.values())

    def _cancel(self) -> None:
        call = self._call
        if call is not None:
            call.cancel()

    def _run(self) -> None:
        repeat = 0
        while not self._closed.is_set():
            before = self._spool.acknowledged
            error = self._connection()
            if self._closed.is_set() or self._worker.is_superseded(error):
                return
            if isinstance(error, NotFound):
                self._command(pb.COMMAND_STOP)
            repeat = 0 if self._spool.acknowledged > before else repeat + 1
            if repeat == 1:
                log.warning("The report stream broke off (%s); connecting again, training goes on.", error.reason)
            self._closed.wait(self._patience.pause(repeat))

    def _connection(self) -> FineTuneFlowError:
        """Carry until the connection breaks; return the error that it broke with."""
        ended = threading.Event()
        self._answered = time.monotonic()
        try:
            self._call = self._worker.report(self._requests(ended))
            for answer in self._call:
                self._answered = time.monotonic()
                self._spool.acknowledge(answer.ack_seq)
                if answer.command != pb.COMMAND_UNSPECIFIED:
                    self._command(answer.command)
                self._cpu[self] = time.thread_time()
        except grpc.RpcError as error:
            return as_error(error)
        finally:
            ended.set()
            self._call = None
        return Unavailable("The service ended the report stream.")

    def _requests(self, ended: threading.Event) -> Iterator[pb.ReportRequest]:
        """Yield batches: what there is every `flush` seconds, and an empty one every `heartbeat` seconds at least."""
        sent = self._spool.acknowledged
        sent_at = 0.0
        while not ended.is_set() and not self._closed.is_set():
            reports = self._spool.batch(after=sent)
            if reports or time.monotonic() - sent_at >= self._patience.heartbeat:
                sent_at = time.monotonic()
                sent = reports[-1].seq if reports else sent
                yield pb.ReportRequest(work=self._worker.work, reports=reports)
            self._cpu[ended] = time.thread_time()
            if self._spool.last == sent or not self._hurry.is_set():
                ended.wait(0.02 if self._hurry.is_set() else self._patience.flush)
