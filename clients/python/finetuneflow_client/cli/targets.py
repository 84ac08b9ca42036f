"""What a user calls a thing → its resource name.

A full name comes back as it is. A short id belongs to the current project. Where nothing is named, the newest is meant:
the flow goes from one step to the next without a name being typed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2
from finetuneflow.export.v1 import export_service_pb2
from finetuneflow.training.v1 import training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli.session import Session
from finetuneflow_client.errors import FtfError


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _Worked(_Named, Protocol):
    @property
    def work(self) -> work_pb2.Work: ...


async def dataset(session: Session, value: str = "", *, failed_too: bool = False) -> str:
    """Return a dataset's name; without a value that of the newest that did not fail empty, which is said.

    Args:
        failed_too: without a value take one that failed empty too: the command tells why, or goes on with it.

    Raises:
        FtfError: FAILED_PRECONDITION if there is none to take.
    """
    if value:
        return await _in_project(session, "datasets", value)
    if not session.chosen_dataset:
        every = [item async for item in session.flow.datasets(await session.project())]
        session.chosen_dataset = _newest_dataset(session, every, failed_too)
    return session.chosen_dataset


def _newest_dataset(session: Session, every: list[dataset_pb2.Dataset], failed_too: bool) -> str:
    """Return the name of the newest dataset, and say which it is and what newer ones are passed over."""
    passed: list[str] = []
    for item in reversed(every):
        if failed_too or not failed_empty(item):
            over = f" (newer, but failed without an example: {', '.join(passed)})" if passed else ""
            session.screen.say(f"the newest dataset: {item.name}{over}")
            return item.name
        passed.append(names.short(item.name))
    if passed:
        remedy = f"see why with `ftf dataset show {passed[0]}`, or name one"
        raise FtfError(f"every dataset failed without an example: {passed[0]}", remedy, code="FAILED_PRECONDITION")
    raise _none("dataset", "ftf dataset generate")


def failed_empty(found: dataset_pb2.Dataset) -> bool:
    """Whether a dataset failed before it had an example; imports are taken in whole or not at all."""
    if found.work.state != work_pb2.WORK_STATE_FAILED or found.versions:
        return False
    return found.HasField("imported") or not any_example(found)


def any_example(found: dataset_pb2.Dataset) -> bool:
    """Whether a dataset has an example, accepted or dropped."""
    return any(getattr(count, "in") for count in found.counts if count.stage in ("replies", "examples"))


async def frozen_dataset(session: Session, value: str = "") -> str:
    """Return a dataset's name; without a value that of the newest one that can be trained on, which is said."""
    if not value:
        async for item in session.flow.datasets(await session.project()):
            value = item.name if item.versions else value
        if value:
            session.screen.say(f"the newest frozen dataset: {value}")
    return await dataset(session, value)


async def finished_run(session: Session, value: str = "") -> str:
    """Return a run's name; without a value that of the newest one that succeeded, if there is one, which is said."""
    return await run(session, value or await _finished(session, session.flow.runs(await session.project()), "run"))


async def run(session: Session, value: str = "") -> str:
    """Return a run's name; without a value the newest one's."""
    if value:
        return await _in_project(session, "runs", value)
    return await _newest(session.flow.runs(await session.project()), "run", "ftf train")


async def checkpoint(session: Session, value: str) -> str:
    """Return what to begin from: "RUN" is a run, "RUN/checkpoint-20" its checkpoint of step 20; full names stay."""
    outer, _, step = value.rpartition("/checkpoint-")
    if not outer:
        return value if value.startswith("projects/") else await run(session, value)
    return f"{await run(session, outer)}/checkpoints/{step}"


async def export(session: Session, value: str = "") -> str:
    """Return an export's name; without a value the newest one's."""
    if value:
        return await _in_project(session, "exports", value)
    return await _newest(session.flow.exports(await session.project()), "export", "ftf export")


async def finished_export(session: Session, value: str = "") -> str:
    """Return an export's name; without a value that of the newest that succeeded, which is said, if there is one."""
    return await export(
        session, value or await _finished(session, session.flow.exports(await session.project()), "export")
    )


async def work(session: Session, value: str = "") -> str:
    """Return the name of a run, or of "datasets/d", "exports/x", "files/f"; without a value the newest run's."""
    if "/" in value and not value.startswith("projects/"):
        return f"{await session.project()}/{value}"
    return await run(session, value)


async def example(session: Session, value: str, in_dataset: str = "") -> str:
    """Return an example's name: an id in `in_dataset` or the newest dataset, or "DATASET/EXAMPLE"."""
    if value.startswith("projects/"):
        return value
    outer, _, last = value.removeprefix("datasets/").replace("/examples/", "/").rpartition("/")
    return names.full("examples", last, await dataset(session, outer or in_dataset))


async def traceable(session: Session, value: str) -> str:
    """Return the name of a run, export, dataset or example: a full one, "runs/r1", "d1/e1", or an id by itself.

    An id is looked for among the project's runs, exports, datasets and, the newest dataset first, their examples.

    Raises:
        FtfError: NOT_FOUND if nothing of the project has such an id.
    """
    first = value.partition("/")[0]
    if first in ("projects", "runs", "exports"):
        return await work(session, value)
    if "/" in value:
        whole = first == "datasets" and value.count("/") == 1
        return await work(session, value) if whole else await example(session, value)
    project = await session.project()
    run_name, export_name = f"{project}/runs/{value}", f"{project}/exports/{value}"
    if name := await _there(session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=run_name))):
        return name
    if name := await _there(session.flow.export.GetExport(export_service_pb2.GetExportRequest(name=export_name))):
        return name
    every = [found.name async for found in session.flow.datasets(project)]
    if (name := f"{project}/datasets/{value}") in every:
        return name
    for outer in reversed(every):
        request = dataset_service_pb2.GetExampleRequest(name=f"{outer}/examples/{value}")
        if name := await _there(session.flow.dataset.GetExample(request)):
            return name
    message = f'no run, export, dataset or example of {project} has the id "{value}"'
    raise FtfError(message, "see `ftf runs`, `ftf exports`, `ftf dataset examples DATASET`", code="NOT_FOUND")


async def _there(look: Awaitable[_Named]) -> str:
    """Return the name of what a call finds; "" if it finds nothing."""
    try:
        return (await look).name
    except FtfError as error:
        if error.code != "NOT_FOUND":
            raise
        return ""


async def file(session: Session, value: str) -> str:
    """Return a file's name: from its id, or from the file name that it was uploaded under."""
    if value.startswith(("projects/", "files/")):
        return await _in_project(session, "files", value)
    found = [f async for f in session.flow.files(await session.project())]
    matching = [f.name for f in found if value in (names.short(f.name), f.display_name)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise FtfError(f'there is no file "{value}" in the project', "see `ftf files`", code="NOT_FOUND")
    ids = ", ".join(map(names.short, matching))
    raise FtfError(f'{len(matching)} files are named "{value}"', f"use an id: {ids}", code="INVALID_ARGUMENT")


async def files(session: Session, values: list[str]) -> list[str]:
    """Return the names of several files."""
    return [await file(session, value) for value in values]


async def model(session: Session, value: str = "") -> str:
    """Return a model's name: from its id, or by adding a folder or a hub id.

    Adding what has been added before returns what is there. Without a value it is the only one there is, which is said.
    """
    if not value:
        found = [m.name async for m in session.flow.models()]
        if len(found) == 1:
            session.screen.say(f"the only model: {found[0]}")
            return found[0]
        problem, code = (
            ("there is no model", "FAILED_PRECONDITION")
            if not found
            else (f"there are {len(found)} models", "INVALID_ARGUMENT")
        )
        choices = ": " + ", ".join(map(names.short, found)) if found else " (a folder or a hub id)"
        raise FtfError(problem, f"name one with --model{choices}", code=code)
    # What can send a model's files is not needed to list things.
    from finetuneflow_client.models import base_model

    return await base_model(session.flow, value)


async def _in_project(session: Session, collection: str, value: str) -> str:
    if value.startswith("projects/"):
        return value
    return names.full(collection, value, await session.project())


async def _finished(session: Session, found: AsyncIterator[_Worked], thing: str) -> str:
    """Return the name of the newest that succeeded and say so; "" if none did."""
    name = ""
    async for item in found:
        name = item.name if item.work.state == work_pb2.WORK_STATE_SUCCEEDED else name
    if name:
        session.screen.say(f"the newest finished {thing}: {name}")
    return name


async def _newest(found: AsyncIterator[_Named], thing: str, command: str) -> str:
    name = ""
    async for item in found:
        name = item.name
    if not name:
        raise _none(thing, command)
    return name


def _none(thing: str, command: str) -> FtfError:
    return FtfError(f"there is no {thing} in the project yet", f"make one with `{command}`", code="FAILED_PRECONDITION")
