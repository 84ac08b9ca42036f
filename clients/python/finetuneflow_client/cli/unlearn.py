"""Taking a document out of everything: who used it, and what has to be made again without it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from finetuneflow.dataset.v1 import dataset_pb2, versions_pb2
from finetuneflow.export.v1 import export_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets, wording
from finetuneflow_client.cli.output import to_json
from finetuneflow_client.cli.session import Session
from finetuneflow_client.client import items
from finetuneflow_client.errors import FtfError


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
    runs, exports = await _models(session, file, uses)
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
                "runs": [to_json(run) for run in runs],
                "exports": [to_json(export) for export in exports],
                "deleted": args.yes,
                "rebuilt": rebuilt,
            }
        )
        return
    _shown(session, file, uses, runs, exports)
    _advised(session, rebuilt, runs, exports)


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


async def _models(
    session: Session, file: str, uses: list[versions_pb2.Use]
) -> tuple[list[run_pb2.Run], list[export_pb2.Export]]:
    """Return the runs that learned from the file, and the exports of those runs."""
    project = file.partition("/files/")[0]
    hashes = {version.sha256 for use in uses for version in use.versions}
    runs = learned([run async for run in session.flow.runs(project)], hashes)
    trained = {run.name for run in runs}
    exports = [export async for export in session.flow.exports(project) if export.run in trained]
    return runs, exports


def learned(runs: Sequence[run_pb2.Run], hashes: Collection[str]) -> list[run_pb2.Run]:
    """Return the runs that trained on one of some versions, then those that took weights from them, at any distance.

    Args:
        hashes: of the versions' files.
    """
    found = [run for run in runs if run.dataset_sha256 in hashes]
    names_found = {run.name for run in found}
    while further := [run for run in runs if run.name not in names_found and _began_from(run) in names_found]:
        found += further
        names_found |= {run.name for run in further}
    return found


def _began_from(run: run_pb2.Run) -> str:
    """Return the run whose weights a run began from; empty for the base model."""
    return run.resume_from_checkpoint.partition("/checkpoints/")[0]


async def _delete(session: Session, file: str) -> None:
    try:
        await session.flow.ingest.DeleteFile(ingest_service_pb2.DeleteFileRequest(name=file))
    except FtfError as error:
        if error.code != "NOT_FOUND":
            raise


def _shown(
    session: Session,
    file: str,
    uses: list[versions_pb2.Use],
    runs: list[run_pb2.Run],
    exports: list[export_pb2.Export],
) -> None:
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
    for run in runs:
        begun = f", with the weights of {names.short(_began_from(run))}" if _began_from(run) else ""
        line(f"run       {run.name}: trained on {names.short(run.dataset)}:{run.dataset_version}{begun}")
    for export in exports:
        line(f"export    {export.name}: weights of {names.short(export.run)}")
    if not uses:
        line("          no dataset of the project used it")


def _advised(
    session: Session,
    rebuilt: list[dict[str, object]],
    runs: list[run_pb2.Run],
    exports: list[export_pb2.Export],
) -> None:
    """Say what has been done and what is left to do."""
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
    learners = {run.name for run in runs}
    for run in runs:
        session.output.line(f"{run.name} has learned from it: {_again(run, newest, learners)}")
        session.output.line(f"    `ftf runs {names.short(run.name)} --delete`")
    for export in exports:
        session.output.line(f"{export.name} has learned from it: `ftf exports {names.short(export.name)} --delete`")


def _again(run: run_pb2.Run, newest: Mapping[str, object], learners: Collection[str]) -> str:
    """Return what makes a run again without the file.

    Args:
        newest: dataset → its version without the file, 0 where there is none, of those that had rows of it.
        learners: the runs that have to be made again.
    """
    version = newest.get(run.dataset)
    if version == 0:
        return f"{names.short(run.dataset)} has no version to train it again on; delete it with"
    command = f"ftf rerun {names.short(run.name)}" + (f" --dataset-version {version}" if version else "")
    begun = _began_from(run)
    if not run.resume_weights_only or not begun:
        return f"train again with `{command}`, then"
    if begun not in learners:
        return f"train again with `{command} --from-checkpoint {_checkpoint(run)} --resume-weights-only`, then"
    command += " --from-checkpoint NEW --resume-weights-only"
    return f"train again with `{command}`, NEW being {names.short(begun)} trained again, then"


def _checkpoint(run: run_pb2.Run) -> str:
    """Return the checkpoint that a run began from, as commands take it."""
    begun, _, step = run.resume_from_checkpoint.partition("/checkpoints/")
    return f"{names.short(begun)}/checkpoint-{step}"
