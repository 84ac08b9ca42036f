"""Taking a document out of everything: who used it, and what has to be made again without it."""

from __future__ import annotations

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
    """Return the runs that trained on a version with rows of the file, and the exports of those runs."""
    project = file.partition("/files/")[0]
    hashes = {version.sha256 for use in uses for version in use.versions}
    runs = [run async for run in session.flow.runs(project) if run.dataset_sha256 in hashes]
    trained = {run.name for run in runs}
    exports = [export async for export in session.flow.exports(project) if export.run in trained]
    return runs, exports


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
        line(f"run       {run.name}: trained on {names.short(run.dataset)}:{run.dataset_version}")
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
    for run in runs:
        command = f"ftf train --model {names.short(run.model)} --dataset {names.short(run.dataset)}"
        session.output.line(f"{run.name} has learned from it: train again with `{command}`, then")
        session.output.line(f"    `ftf runs {names.short(run.name)} --delete`")
    for export in exports:
        session.output.line(f"{export.name} has learned from it: `ftf exports {names.short(export.name)} --delete`")
