"""Work that is found again: its id is derived from what goes into it, so the same inputs lead to the same work.

Work that succeeded is used, work that goes on is followed, a paused run and generation that failed or is paused are
resumed, and a run or export that failed or was cancelled is begun again under the next id ("…-2").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2
from finetuneflow.export.v1 import export_pb2, export_service_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli.drying import tell_warnings
from finetuneflow_client.cli.session import Session
from finetuneflow_client.errors import FtfError
from finetuneflow_client.making import got_or_made

_BROKEN = (work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_CANCELLING, work_pb2.WORK_STATE_CANCELLED)
PAUSED = (work_pb2.WORK_STATE_PAUSING, work_pb2.WORK_STATE_PAUSED)
STOPPED = (work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_CANCELLED, *PAUSED)
_MOST_ATTEMPTS = 100


class _Working(Protocol):
    @property
    def work(self) -> work_pb2.Work: ...


Worked = TypeVar("Worked", bound=_Working)


async def dataset(session: Session, parent: str, spec: dataset_pb2.DatasetSpec, *inputs: str) -> str:
    """Return the name of the dataset of a spec and further inputs, generating, resumed or done."""
    flow = session.flow.dataset
    id = names.derived("d", spec.SerializeToString(deterministic=True).hex(), *inputs)

    async def make() -> dataset_pb2.Dataset:
        request = dataset_service_pb2.CreateDatasetRequest(
            parent=parent, dataset=dataset_pb2.Dataset(spec=spec), dataset_id=id
        )
        return await flow.CreateDataset(request)

    async def get() -> dataset_pb2.Dataset:
        return await flow.GetDataset(dataset_service_pb2.GetDatasetRequest(name=f"{parent}/datasets/{id}"))

    found = await got_or_made(get, make)
    if found.work.state in STOPPED:
        session.screen.say(f"resuming {found.name}")
        await flow.ResumeDataset(dataset_service_pb2.ResumeDatasetRequest(name=found.name))
    return found.name


async def run(session: Session, parent: str, id: str, make_run: Callable[[], Awaitable[run_pb2.Run]]) -> str:
    """Return the name of the newest run of an id that has not failed; without one, of the run that is now made."""
    flow = session.flow.training

    async def make(id: str) -> run_pb2.Run:
        request = training_service_pb2.CreateRunRequest(parent=parent, run=await make_run(), run_id=id)
        made = await flow.CreateRun(request)
        tell_warnings(session, made)
        return made

    async def get(id: str) -> run_pb2.Run:
        return await flow.GetRun(training_service_pb2.GetRunRequest(name=f"{parent}/runs/{id}"))

    found = await _unbroken(id, get, make)
    if found.work.state in PAUSED:
        session.screen.say(f"resuming {found.name}")
        await flow.ResumeRun(training_service_pb2.ResumeRunRequest(name=found.name))
    return found.name


async def export(
    session: Session, run_name: str, format: export_pb2.Format.ValueType, accept_forgetting: bool = False
) -> str:
    """Return the name of a run's export in a format, going on, done, or now made."""
    flow, parent = session.flow.export, names.parent(run_name)

    async def make(id: str) -> export_pb2.Export:
        wanted = export_pb2.Export(run=run_name, format=format, accept_forgetting=accept_forgetting)
        request = export_service_pb2.CreateExportRequest(parent=parent, export=wanted, export_id=id)
        return await flow.CreateExport(request)

    async def get(id: str) -> export_pb2.Export:
        return await flow.GetExport(export_service_pb2.GetExportRequest(name=f"{parent}/exports/{id}"))

    return (await _unbroken(names.derived("x", run_name, str(format)), get, make)).name


async def _unbroken(
    id: str, get: Callable[[str], Awaitable[Worked]], make: Callable[[str], Awaitable[Worked]]
) -> Worked:
    """Return the first of id, id-2, id-3, … that is neither failed nor cancelled; the first free one is made."""
    for number in range(1, _MOST_ATTEMPTS):
        attempt = id if number == 1 else f"{id}-{number}"

        async def get_this(attempt: str = attempt) -> Worked:
            return await get(attempt)

        async def make_this(attempt: str = attempt) -> Worked:
            return await make(attempt)

        try:
            found = await got_or_made(get_this, make_this)
        except FtfError as error:
            # Deleted a moment ago: its id is not free yet.
            if error.code != "NOT_FOUND" or error.reason not in ("", "NOT_FOUND"):
                raise
            continue
        if found.work.state not in _BROKEN:
            return found
    raise FtfError(f"{id} has failed {_MOST_ATTEMPTS} times", "look at `ftf runs`", code="FAILED_PRECONDITION")
