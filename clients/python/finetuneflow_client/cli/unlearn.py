"""Taking a document out of everything: who used it, and what has to be made again without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from finetuneflow.dataset.v1 import dataset_pb2, versions_pb2
from finetuneflow.export.v1 import export_pb2, export_service_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets, wording
from finetuneflow_client.cli.lineage import began_from, learned
from finetuneflow_client.cli.output import to_json
from finetuneflow_client.cli.session import Session
from finetuneflow_client.client import items
from finetuneflow_client.errors import FtfError


@dataclass(frozen=True)
class _Models:
    """What has learned from a file.

    Attributes:
        runs: of the project, those that have.
        exports: those that have, also of runs that are deleted.
        there: names of all runs of the project.
    """

    runs: list[run_pb2.Run]
    exports: list[export_pb2.Export]
    there: frozenset[str]


async def unlearn(session: Session) -> None:
    """Show every chunk, example, version, run and export that a document is in; with --yes rebuild without it.

    Datasets forget it first and the file goes last, so that a command that was interrupted may be given again.
    """
    args = session.args
    file = await _file(session)
    uses = [
        use
        async for use in items(
            session.flow.dataset.ListUses, versions_pb2.ListUsesRequest(file=file), lambda page: page.uses
        )
    ]
    models = await _models(session, file, uses)
    rebuilt: list[dict[str, object]] = []
    if args.yes:
        for use in uses:
            request = versions_pb2.ForgetFileRequest(name=use.dataset, file=file, erase_versions=args.erase)
            dataset = await session.flow.dataset.ForgetFile(request, timeout=600)
            rebuilt.append({"dataset": use.dataset, "version": _without(dataset, use)})
        await _delete(session, file)
    if session.output.as_json:
        session.output.json(
            {
                "file": file,
                "uses": [to_json(use) for use in uses],
                "runs": [to_json(run) for run in models.runs],
                "exports": [to_json(export) for export in models.exports],
                "deleted": args.yes,
                "rebuilt": rebuilt,
            }
        )
        return
    _shown(session, file, uses, models)
    _advised(session, rebuilt, models)


def _without(dataset: dataset_pb2.Dataset, use: versions_pb2.Use) -> int:
    """Return the newest version if it has no rows from the file; 0 where nothing was left to freeze."""
    newest = dataset.versions[-1].version if dataset.versions else 0
    return 0 if newest in {version.version for version in use.versions} else newest


async def _file(session: Session) -> str:
    """Return the file's name; one that is deleted already is taken by its id."""
    value = session.args.file
    try:
        return await targets.file(session, value)
    except FtfError as error:
        if error.code != "NOT_FOUND" or not names.is_id(value):
            raise
        return names.full("files", value, await session.project())


async def _models(session: Session, file: str, uses: list[versions_pb2.Use]) -> _Models:
    """Return the runs and exports that learned from the file."""
    project = file.partition("/files/")[0]
    hashes = {version.sha256 for use in uses for version in use.versions}
    runs = [run async for run in session.flow.runs(project)]
    exports = [export async for export in session.flow.exports(project)]
    datasets = [dataset async for dataset in session.flow.datasets(project)]
    kept = {version.artifact.sha256 for dataset in datasets for version in dataset.versions if not version.erased}
    for export in exports:
        # Of a version that is deleted or erased nobody knows the rows any more: its documents count.
        if export.origin.dataset_sha256 not in kept and await _is_made_of(session, export, file):
            hashes.add(export.origin.dataset_sha256)
    return _Models(*learned(runs, exports, hashes), frozenset(run.name for run in runs))


async def _is_made_of(session: Session, export: export_pb2.Export, file: str) -> bool:
    """Whether an export recorded that its dataset was made of a file; of one that is gone meanwhile, no."""
    try:
        found = await session.flow.export.GetExport(export_service_pb2.GetExportRequest(name=export.name))
    except FtfError as error:
        if error.code != "NOT_FOUND":
            raise
        return False
    return file in {document.name for document in found.origin.documents}


async def _delete(session: Session, file: str) -> None:
    try:
        await session.flow.ingest.DeleteFile(ingest_service_pb2.DeleteFileRequest(name=file))
    except FtfError as error:
        if error.code != "NOT_FOUND":
            raise


def _shown(session: Session, file: str, uses: list[versions_pb2.Use], models: _Models) -> None:
    line = session.output.line
    line(f"file      {file}")
    for use in uses:
        counts = f"{wording.many(use.examples, 'example')}, {use.accepted:,} accepted"
        line(f"dataset   {use.dataset}: {counts}, from {wording.many(len(use.chunks), 'chunk')}")
        for chunk in use.chunks:
            line(f"chunk     {names.short(chunk)}")
        for version in use.versions:
            state = "erased" if version.erased else wording.many(version.rows, "row") + " of it"
            line(f"version   {names.short(use.dataset)}:{version.version}: {state}, sha256 {version.sha256}")
    for run in models.runs:
        begun = f", with the weights of {names.short(began_from(run))}" if began_from(run) else ""
        line(f"run       {run.name}: trained on {names.short(run.dataset)}:{run.dataset_version}{begun}")
    learners = {run.name for run in models.runs}
    for export in models.exports:
        gone = "" if export.run in learners else ", which is deleted"
        line(f"export    {export.name}: weights of {names.short(export.run)}{gone}")
    if not uses:
        line("          no dataset of the project uses it")


def _advised(session: Session, rebuilt: list[dict[str, object]], models: _Models) -> None:
    """Say what has been done and what is left to do: exports first, for a run that has some is kept."""
    if not session.args.yes:
        session.screen.say("nothing was changed; --yes deletes the file and freezes these datasets without it")
        return
    session.output.line()
    session.output.line("the file is deleted")
    newest = {str(item["dataset"]): item["version"] for item in rebuilt}
    for name, version in newest.items():
        session.output.line(
            f"{name} has version {version} without it" if version else f"{name} has no version without it"
        )
    for export in models.exports:
        session.output.line(f"{export.name} has learned from it: `ftf exports {names.short(export.name)} --delete`")
    for run in models.runs:
        session.output.line(f"{run.name} has learned from it: {_again(run, newest, models)}")
        session.output.line(f"    `ftf runs {names.short(run.name)} --delete`")


def _again(run: run_pb2.Run, newest: Mapping[str, object], models: _Models) -> str:
    """Return what makes a run again without the file.

    Args:
        newest: dataset → its version without the file, 0 where there is none, of those that had rows of it.
    """
    version = newest.get(run.dataset)
    if version == 0:
        return f"{names.short(run.dataset)} has no version to train it again on; delete it with"
    command = f"ftf rerun {names.short(run.name)}" + (f" --dataset-version {version}" if version else "")
    begun = began_from(run)
    if not run.resume_weights_only or not begun:
        return f"train again with `{command}`, then"
    if begun not in models.there:
        return f"train again with `{command}`, from the base model as {names.short(begun)} is deleted, then"
    if all(begun != learner.name for learner in models.runs):
        return f"train again with `{command} --from-checkpoint {_checkpoint(run)} --resume-weights-only`, then"
    command += " --from-checkpoint NEW --resume-weights-only"
    return f"train again with `{command}`, NEW being {names.short(begun)} trained again, then"


def _checkpoint(run: run_pb2.Run) -> str:
    """Return the checkpoint that a run began from, as commands take it."""
    begun, _, step = run.resume_from_checkpoint.partition("/checkpoints/")
    return f"{names.short(begun)}/checkpoint-{step}"
