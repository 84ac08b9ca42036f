"""Work followed to its end, across broken connections and restarted servers.

watch_run yields every report once and in order: it remembers the last seq and asks for what comes after it. The others
yield the resource at every change. While the server is away they wait, longer each time, up to 5 seconds, and call
`away`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2
from finetuneflow.export.v1 import export_service_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow.training.v1 import training_service_pb2
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow.dataset.v1 import dataset_pb2
    from finetuneflow.export.v1 import export_pb2
    from finetuneflow.ingest.v1 import file_pb2
    from finetuneflow_client.client import Services

ENDED = frozenset({work_pb2.WORK_STATE_SUCCEEDED, work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_CANCELLED})
AT_REST = ENDED | {work_pb2.WORK_STATE_PAUSED}
# What a server says that goes down or is only just up. UNKNOWN and INTERNAL come from a stream that is cut.
_PASSING = ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN", "INTERNAL")
_LONGEST_PAUSE = 5.0

Away = Callable[[FtfError], None]


class _Working(Protocol):
    @property
    def work(self) -> work_pb2.Work: ...


Resource = TypeVar("Resource", bound=_Working)
Message = TypeVar("Message")


class _Patience:
    """How long to wait for a server that is away. Begins anew whenever something arrives."""

    def __init__(self, seconds: float, away: Away | None) -> None:
        self._seconds = seconds
        self._away = away
        self.arrived()

    def arrived(self) -> None:
        """Note that the server is there."""
        self._pause = 0.1
        self._since = time.monotonic()

    async def wait(self, error: FtfError) -> None:
        """Pause before the next try. Raises `error` if it is no passing one, or if patience is at an end."""
        passing = error.code in _PASSING and error.reason in ("", "DEPENDENCY_UNAVAILABLE")
        if not passing or time.monotonic() - self._since > self._seconds:
            raise error
        if self._away:
            self._away(error)
        await asyncio.sleep(self._pause * random.uniform(0.8, 1.2))  # noqa: S311  # jitter, not a secret
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


async def watch_run(
    flow: Services, name: str, after_seq: int = 0, *, patience: float = 900, away: Away | None = None
) -> AsyncIterator[training_service_pb2.WatchRunResponse]:
    """Yield a run's reports after a cursor, each once and in order, and the run at every change.

    Ends when the run has ended or is paused.

    Args:
        flow: the connection.
        name: projects/{project}/runs/{run}
        after_seq: reports up to this seq are left out; 0 yields all.
        patience: seconds to wait for a server that is away.
        away: called with the error each time that the connection is lost.

    Raises:
        FtfError: NOT_FOUND if there is no such run; the last error when patience is at an end.
    """
    limit = _Patience(patience, away)
    seen = None
    while True:
        try:
            request = training_service_pb2.WatchRunRequest(name=name, after_seq=after_seq)
            async for update in flow.training.WatchRun(request):
                limit.arrived()
                if update.HasField("report"):
                    if update.report.seq <= after_seq:
                        continue
                    after_seq = update.report.seq
                elif update.run == seen:
                    continue
                else:
                    seen = update.run
                yield update
            if seen is not None and seen.work.state in AT_REST:
                return
            raise FtfError("the server ended the stream early", code="UNAVAILABLE")
        except FtfError as error:
            await limit.wait(error)


async def read_logs(
    flow: Services, name: str, *, follow: bool = False, patience: float = 900, away: Away | None = None
) -> AsyncIterator[training_service_pb2.ReadLogsResponse]:
    """Yield a run's log lines, oldest first, each once; with `follow` until the run has ended.

    Errors: as for watch_run; without `follow` a server that is away is not waited for.
    """
    request = training_service_pb2.ReadLogsRequest(name=name, follow=follow)
    limit = _Patience(patience if follow else -1, away)
    yielded = 0
    while True:
        try:
            number = 0
            async for line in flow.training.ReadLogs(request):
                number += 1
                if number > yielded:
                    limit.arrived()
                    yielded = number
                    yield line
            return
        except FtfError as error:
            await limit.wait(error)


def watch_file(
    flow: Services, name: str, *, patience: float = 900, away: Away | None = None
) -> AsyncIterator[file_pb2.File]:
    """Yield a file now and at every change until its extraction or chunking has ended. Errors: as for watch_run."""
    request = ingest_service_pb2.WatchFileRequest(name=name)
    return _states(lambda: flow.ingest.WatchFile(request), lambda message: message.file, _Patience(patience, away))


def watch_dataset(
    flow: Services, name: str, *, patience: float = 900, away: Away | None = None
) -> AsyncIterator[dataset_pb2.Dataset]:
    """Yield a dataset now and at every change until its generation has ended or is paused. Errors: as for watch_run."""
    request = dataset_service_pb2.WatchDatasetRequest(name=name)
    limit = _Patience(patience, away)
    return _states(lambda: flow.dataset.WatchDataset(request), lambda message: message.dataset, limit)


def watch_export(
    flow: Services, name: str, *, patience: float = 900, away: Away | None = None
) -> AsyncIterator[export_pb2.Export]:
    """Yield an export now and at every change until it has ended. Errors: as for watch_run."""
    request = export_service_pb2.WatchExportRequest(name=name)
    return _states(lambda: flow.export.WatchExport(request), lambda message: message.export, _Patience(patience, away))


class _Stream(Protocol[Message]):  # type: ignore[misc]  # the stubs of grpc make their calls invariant
    def __aiter__(self) -> AsyncIterator[Message]: ...


async def _states(
    open_stream: Callable[[], _Stream[Message]], pick: Callable[[Message], Resource], limit: _Patience
) -> AsyncIterator[Resource]:
    """Yield the resource in each message, repeats left out, until its work has ended or is paused."""
    seen: Resource | None = None
    while True:
        try:
            async for message in open_stream():
                limit.arrived()
                found = pick(message)
                if found != seen:
                    seen = found
                    yield found
            if seen is not None and seen.work.state in AT_REST:
                return
            raise FtfError("the server ended the stream early", code="UNAVAILABLE")
        except FtfError as error:
            await limit.wait(error)
