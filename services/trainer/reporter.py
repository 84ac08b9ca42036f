"""What the work says while it runs, and what it is told: the trainer's side of the report stream.

Saying something costs the caller one put into a queue, and wakes nobody: a thread that woke with every step would fight
for the interpreter with the training. It looks into the queue a few times a second, numbers the reports and writes them
to the spool; the stream's threads carry them. Neither the network nor the disk ever holds up a training step.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.trainer.config import Patience
from services.trainer.spool import Spool
from services.trainer.stream import Stream
from services.trainer.worker import Worker

log = logging.getLogger(__name__)

LOG_CHARACTERS = 4_096
"""Longest log line that is reported; longer ones are cut."""


class Stopped(Exception):
    """The service said COMMAND_STOP: the work was cancelled or deleted."""


class Terminated(Exception):
    """SIGTERM arrived: the machine wants its place back."""


class Orders:
    """What the work is to do at its next opportunity. Set from other threads and from signal handlers."""

    def __init__(self) -> None:
        self._stop = False
        self._save = False
        self._terminate = False

    def obey(self, command: pb.Command.ValueType) -> None:
        """Note a command of the service's."""
        if command == pb.COMMAND_STOP:
            self._stop = True
        elif command == pb.COMMAND_SAVE:
            self._save = True

    def terminate(self) -> None:
        """Note that SIGTERM arrived."""
        self._terminate = True

    @property
    def stopping(self) -> bool:
        """Whether to stop without another checkpoint."""
        return self._stop

    @property
    def terminating(self) -> bool:
        """Whether to save a checkpoint and end."""
        return self._terminate

    def take_save(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        wanted, self._save = self._save, False
        return wanted

    def check(self) -> None:
        """Raise Stopped or Terminated if it is time; called between pieces of work that save nothing."""
        if self._stop:
            raise Stopped
        if self._terminate:
            raise Terminated


class Reporter:
    """Takes reports from any thread, in the order of the calls, and delivers them.

    Args:
        worker: the line to the service, with its attempt begun.
        folder: of the attempt, for the spool.
        last_seq: from BeginAttempt.
        patience: pauses and limits.
        orders: told what the service commands.
    """

    def __init__(self, worker: Worker, folder: Path, last_seq: int, patience: Patience, orders: Orders) -> None:
        self._patience = patience
        self._spool = Spool(folder / "reports.spool", last_seq)
        self._stream = Stream(worker, self._spool, patience, orders.obey)
        self._queue: queue.SimpleQueue[pb.Report | threading.Event] = queue.SimpleQueue()
        self._awake = threading.Event()
        self._closed = False
        self._cpu = 0.0
        self._thread = threading.Thread(target=self._write, name="spool", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()
        self._stream.start()

    def metrics(self, step: int, total_steps: int, values: Mapping[str, float]) -> None:
        """Report numbers at a step; see MetricPoint for their names."""
        self._say(pb.Report(metrics=pb.MetricPoint(step=step, total_steps=total_steps, values=values)))

    def phase(self, name: str, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Report what is being done and how far it is; see Phase for the names."""
        self._say(pb.Report(phase=pb.Phase(name=name, done=done, total=total, unit=unit)))

    def line(self, level: str, text: str) -> None:
        """Report a log line, cut to 4,096 characters."""
        self._say(pb.Report(log=pb.LogLine(level=level, text=text[:LOG_CHARACTERS])))

    def drain(self) -> bool:
        """Wait until every report is acknowledged, at most `Patience.drain`; return whether they are."""
        self._stream.hurry()
        return self.stored(self._patience.drain, look=0.01)

    def stored(self, seconds: float, look: float = 0.1) -> bool:
        """Wait until every report made before this call is acknowledged; return whether it is, after `seconds` at most.

        Args:
            seconds: longest wait.
            look: pause between two looks.
        """
        end = time.monotonic() + seconds
        written = threading.Event()
        self._queue.put(written)
        self._awake.set()
        if not written.wait(seconds):
            return False
        wanted = self._spool.last
        while self._spool.acknowledged < wanted:
            if time.monotonic() > end:
                return False
            time.sleep(look)
        return True

    def close(self) -> None:
        """End the threads. Undelivered reports stay in the spool file."""
        self._closed = True
        self._awake.set()
        self._thread.join(timeout=5)
        self._stream.close()
        self._spool.close()

    def cpu_seconds(self) -> float:
        """Return the processor time that the report path's threads have used."""
        return self._cpu + self._stream.cpu_seconds()

    def _say(self, report: pb.Report) -> None:
        report.time.FromNanoseconds(time.time_ns())
        self._queue.put(report)

    def _write(self) -> None:
        while not self._closed:
            self._awake.wait(self._patience.flush / 2)
            self._awake.clear()
            with contextlib.suppress(queue.Empty):
                while True:
                    item = self._queue.get_nowait()
                    if isinstance(item, threading.Event):
                        item.set()
                    else:
                        self._keep(item)
            self._stream.watch()
            self._cpu = time.thread_time()

    def _keep(self, report: pb.Report) -> None:
        """Write a report to the spool, again and again for as long as the disk is full; training goes on meanwhile."""
        repeat = 0
        while True:
            try:
                self._spool.append(report)
                return
            except OSError as error:
                if repeat == 0:
                    log.warning("The spool cannot be written (%s); reports wait in memory.", error.strerror)
                time.sleep(self._patience.pause(repeat))
                repeat += 1


class Silence(Reporter):
    """A reporter of a process that has nobody to report to."""

    def __init__(self) -> None:
        """Start nothing."""

    def cpu_seconds(self) -> float:
        """See Reporter."""
        return 0.0

    def stored(self, seconds: float, look: float = 0.1) -> bool:
        """See Reporter."""
        return True

    def drain(self) -> bool:
        """See Reporter."""
        return True

    def _say(self, report: pb.Report) -> None:
        """Say nothing."""
