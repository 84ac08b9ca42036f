"""What depends on a thing that is to be deleted, and the question whether it is to go all the same.

Each service knows only what comes before it, so that the command asks the services after it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, versions_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.client import items
from finetuneflow_client.errors import FtfError
from finetuneflow_client.watch import ENDED

Look = Callable[[Session, str], Awaitable[str]]

_NAMED = 5
"""Dependents that are named; the others are counted."""


async def confirm(session: Session, look: Look, name: str, command: str) -> None:
    """Return if a thing may go although something depends on it.

    --yes says so, and nothing is looked at; without it a person at a terminal is asked, and anybody else is refused.

    Args:
        look: finds out what goes with it or depends on it; if nothing does, nothing is asked.
        name: what is to go.
        command: what to type if it is meant, without --yes.

    Raises:
        FtfError: FAILED_PRECONDITION, nothing was deleted.
    """
    if session.args.yes or not (problem := await look(session, name)):
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        session.screen.warn(f"{problem}\ndelete all the same? [y/N]")
        if (await asyncio.to_thread(sys.stdin.readline)).strip().lower() in ("y", "yes"):
            return
    raise FtfError(problem, f"nothing was deleted; if it is meant: `{command} --yes`", code="FAILED_PRECONDITION")


async def of_project(session: Session, project: str) -> str:
    """Return what goes with a project, in words."""
    found = await session.flow.ingest.GetProject(ingest_service_pb2.GetProjectRequest(name=project))
    return f"{found.name} goes with its files, datasets, runs and exports"


async def of_model(session: Session, model: str) -> str:
    """Return what depends on a base model, in words; empty if nothing does."""
    runs = [r async for p in session.flow.projects() async for r in session.flow.runs(p.name) if r.model == model]
    return _of_runs(model, runs, "cannot start or go on", "cannot be exported any more")


async def of_dataset(session: Session, dataset: str) -> str:
    """Return what depends on a dataset, in words; empty if nothing does."""
    runs = [run async for run in session.flow.runs(names.parent(dataset)) if run.dataset == dataset]
    return _of_runs(dataset, runs, "cannot start or go on", "cannot be traced to their pages any more")


async def of_run(session: Session, run: str) -> str:
    """Return what depends on a run, in words; empty if nothing does.

    Exports that succeeded have files of their own, and are told of so that nobody takes them for deleted.
    """
    project = names.parent(run)
    exports = [export async for export in session.flow.exports(project) if export.run == run]
    waiting = [export.name for export in exports if export.work.state not in ENDED]
    made = [export.name for export in exports if export.work.state == work_pb2.WORK_STATE_SUCCEEDED]
    begun = [
        other.name
        async for other in session.flow.runs(project)
        if f"{other.resume_from_checkpoint}/".startswith(f"{run}/") and other.work.state not in ENDED
    ]
    dependents = [
        (waiting, "export", "not finished", "fails"),
        (made, "export", "finished", "would stay, with what it learned, until `ftf exports ID --delete`"),
        (begun, "run", "that begins from it", "may fail"),
    ]
    return _sum(run, dependents)


async def of_llm(session: Session, llm: str) -> str:
    """Return what depends on an LLM endpoint, in words; empty if nothing does."""
    asking = [
        dataset.name
        async for project in session.flow.projects()
        async for dataset in session.flow.datasets(project.name)
        if llm in _asked(dataset) and dataset.work.state not in ENDED
    ]
    return _sum(llm, [(asking, "dataset", "not finished", "pauses")])


async def of_file(session: Session, file: str) -> str:
    """Return what depends on a file, in words; empty if nothing does."""
    request = versions_pb2.ListUsesRequest(file=file)
    uses = [use async for use in items(session.flow.dataset.ListUses, request, lambda page: page.uses)]
    if not uses:
        return ""
    many = wording.many(sum(use.examples for use in uses), "example")
    return (
        f"{file} is in {wording.many(len(uses), 'dataset')} ({_named([use.dataset for use in uses])}): {many} stay, "
        f"and cannot be traced to their pages any more; `ftf unlearn` takes them out too"
    )


def _of_runs(name: str, runs: Sequence[run_pb2.Run], unfinished: str, finished: str) -> str:
    live = [run.name for run in runs if run.work.state not in ENDED]
    ended = [run.name for run in runs if run.work.state in ENDED]
    return _sum(name, [(live, "run", "not finished", unfinished), (ended, "run", "finished", finished)])


def _asked(dataset: dataset_pb2.Dataset) -> tuple[str, ...]:
    """Return the endpoints that a dataset is made with."""
    spec = dataset.spec
    return spec.llm_endpoint, spec.judge.llm_endpoint, spec.semantic_duplicates.llm_endpoint


def _sum(name: str, dependents: Sequence[tuple[Sequence[str], str, str, str]]) -> str:
    """Return dependents in words: the names of some of a kind, the kind, which of it they are, what becomes of them."""
    parts = [
        f"{wording.many(len(found), kind)} {which} ({_named(found)}) {then}"
        for found, kind, which, then in dependents
        if found
    ]
    return f"{name} is used: without it {', and '.join(parts)}" if parts else ""


def _named(found: Sequence[str]) -> str:
    more = len(found) - _NAMED
    return ", ".join(found[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
