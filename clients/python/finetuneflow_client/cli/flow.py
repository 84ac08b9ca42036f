"""The steps from documents to weights, each shown while it goes on. Single commands and `ftf run` both call them.

Each step takes names, does one thing to its end, and returns what came of it; each may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2
from finetuneflow.export.v1 import export_pb2
from finetuneflow.ingest.v1 import file_pb2, ingest_service_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client import names, watch
from finetuneflow_client.cli import during, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import described
from finetuneflow_client.cli.view.dataset import DatasetView, accepted
from finetuneflow_client.cli.view.export import ExportView
from finetuneflow_client.cli.view.files import FilesView, TransferView, chunk_line, failure, read_line
from finetuneflow_client.cli.view.hardware import recommendation_panel, recommendation_text
from finetuneflow_client.cli.view.run import RunView
from finetuneflow_client.downloads import download_attestation, download_export_artifact, download_run_artifact
from finetuneflow_client.errors import FtfError, from_work
from finetuneflow_client.picking import Picked
from finetuneflow_client.planning import Plan
from finetuneflow_client.sending import send
from finetuneflow_client.uploads import Progress

# A run's other artifacts are the adapter and its tokenizer.
_REPORT = (".md", ".html", ".png", "evaluation.json", "answers.jsonl")

Watched = TypeVar("Watched", dataset_pb2.Dataset, export_pb2.Export)


async def upload(session: Session, project: str, picked: Picked) -> tuple[list[file_pb2.File], list[FtfError]]:
    """Send documents; return the files and, for those that the server refused, why. What concerns all is raised.

    What was passed over, in folders here and in archives there, is said.
    """
    view = TransferView("upload", sum(path.stat().st_size for path in picked.documents if path.is_file()))
    files: dict[str, file_pb2.File] = {}
    refused: list[FtfError] = []
    skipped = list(picked.skipped)
    with session.screen.showing(view) as changed:

        def progress(done: int, of: int) -> None:
            view.update(done, of)
            changed()

        def begun(path: Path) -> Progress:
            view.begin(path.name)
            return progress

        async for sent in send(session.flow, project, picked, begun):
            files.update({file.name: file for file in sent.files})
            refused += sent.refused
            skipped += sent.skipped
    for name, why in skipped:
        session.screen.warn(f"skipped: {name}: {why}")
    return list(files.values()), refused


async def read(session: Session, files: Sequence[file_pb2.File]) -> list[file_pb2.File]:
    """Wait until files are read, and say what came of each; failed ones are among those returned."""
    return await _settle(session, "read", files, read_line)


async def chunk(
    session: Session, project: str, settings: file_pb2.ChunkSettings, files: Sequence[str] = ()
) -> list[file_pb2.File]:
    """Cut files (none named: all of the project) and say what came of each; return those that are cut.

    Raises:
        FtfError: FAILED_PRECONDITION if there is nothing to cut; the failure, if every file failed.
    """
    request = ingest_service_pb2.ChunkFilesRequest(parent=project, files=files, settings=settings)
    queued = await session.flow.ingest.ChunkFiles(request)
    for failed in queued.failed_files:
        session.screen.warn(f"left out: {failure(failed) or failed.display_name}")
    if not queued.files:
        raise FtfError("there is no file to cut", "upload one with `ftf upload`", code="FAILED_PRECONDITION")
    ended = await _settle(session, "chunk", queued.files, chunk_line)
    errors = [error for file in ended if (error := failure(file))]
    if len(errors) == len(ended):
        raise errors[0]
    return [file for file in ended if not failure(file)]


async def follow_dataset(session: Session, name: str) -> dataset_pb2.Dataset:
    """Show a dataset's generation to its end. Raises WorkFailed, WorkPaused or WorkCancelled."""
    found = watch.watch_dataset(session.flow, name, away=session.away)
    view = DatasetView(name)
    with session.screen.showing(view) as changed:
        async for dataset in found:
            view.update(dataset)
            changed()
    found_dataset = _succeeded(dataset, "dataset")
    _tell_few(session, found_dataset)
    return found_dataset


def _tell_few(session: Session, dataset: dataset_pb2.Dataset) -> None:
    """Say why there are fewer examples than were wanted, if every call that was planned has been made."""
    wanted, came = dataset.spec.max_examples, accepted(dataset)
    if came < wanted and not dataset.stop_reason:
        session.screen.warn(
            f"{came:,} of {wanted:,} examples that were wanted: nothing is left to ask. For more, ask more of "
            f"each chunk (`--accepted-examples {wanted}`), cut smaller chunks, or add documents"
        )


async def freeze(session: Session, name: str, *, approved_only: bool = False) -> dataset_pb2.Dataset:
    """Make a version of a dataset's examples, and say what is in it; if nothing changed, the last version stays."""
    request = dataset_service_pb2.FreezeDatasetRequest(name=name, approved_only=approved_only)
    dataset = await session.flow.dataset.FreezeDataset(request, timeout=600)
    version = dataset.versions[-1]
    kind = "approved example" if approved_only else "example"
    session.screen.say(
        f"frozen as version {version.version}: {wording.many(version.train_examples, kind)} to train on, "
        f"{version.eval_examples} of documents held out, {version.recall_examples} kept back of trained documents"
    )
    return dataset


def tell_advice(session: Session, plan: Plan) -> None:
    """Show the settings that suit model and machine, or why there is no recommendation."""
    if plan.unadvised:
        session.screen.warn(f"no recommendation: {plan.unadvised}")
    elif plan.advice:
        settings = described(plan.advice.config)
        session.screen.draw(recommendation_panel(plan.advice, settings), recommendation_text(plan.advice, settings))


async def follow_run(session: Session, name: str) -> run_pb2.Run:
    """Show a run to its end. Raises WorkFailed or WorkCancelled."""
    view = RunView(name)
    run = run_pb2.Run()
    with session.screen.showing(view) as changed:
        async for update in watch.watch_run(session.flow, name, away=session.away):
            view.update(update)
            changed()
            run = update.run if update.HasField("run") else run
    if error := during.way_on(run, from_work(run.work, f"run {names.short(name)}")):
        raise error
    # The stream's last word may be older than the result.
    return await session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name))


async def follow_export(session: Session, name: str) -> export_pb2.Export:
    """Show an export to its end. Raises WorkFailed or WorkCancelled."""
    view = ExportView(name)
    with session.screen.showing(view) as changed:
        async for export in watch.watch_export(session.flow, name, away=session.away):
            view.update(export)
            changed()
    return _succeeded(export, "export")


async def download_export(session: Session, export: export_pb2.Export, folder: Path) -> list[Path]:
    """Fetch an export's files and what was signed about them into a folder; those with the right hash stay."""
    view = TransferView("download", sum(artifact.size_bytes for artifact in export.artifacts))
    paths = []
    with session.screen.showing(view) as changed:

        def progress(done: int, of: int) -> None:
            view.update(done, of)
            changed()

        for artifact in export.artifacts:
            view.begin(artifact.filename)
            paths.append(await download_export_artifact(session.flow, export.name, artifact, folder, progress))
    return [*paths, *await download_attestation(session.flow, export.name, folder)]


async def download_report(session: Session, run: run_pb2.Run, folder: Path) -> list[Path]:
    """Fetch a run's report and plots into a folder; return their paths, the report first."""
    return [await download_run_artifact(session.flow, run.name, artifact, folder) for artifact in report_files(run)]


def report_files(run: run_pb2.Run) -> list[artifact_pb2.Artifact]:
    """Return a run's report and plots, the report first."""
    wanted = [a for a in run.artifacts if a.filename.endswith(_REPORT)]
    return sorted(wanted, key=lambda a: (a.filename != "report.md", a.filename))


async def _settle(
    session: Session, verb: str, files: Sequence[file_pb2.File], said: Callable[[file_pb2.File], str]
) -> list[file_pb2.File]:
    """Watch files until the work on each has ended, and say a line about each as it does."""
    view = FilesView(verb, list(files))

    async def follow(file: file_pb2.File) -> file_pb2.File:
        async for newest in watch.watch_file(session.flow, file.name, away=session.away):
            file = newest
            view.update(file, ended=False)
            changed()
        view.update(file, ended=True)
        (session.screen.warn if failure(file) else session.screen.say)(said(file))
        changed()
        return file

    with session.screen.showing(view) as changed:
        return await asyncio.gather(*map(follow, files))


def _succeeded(found: Watched, kind: str) -> Watched:
    if error := from_work(found.work, f"{kind} {names.short(found.name)}"):
        raise error
    return found
