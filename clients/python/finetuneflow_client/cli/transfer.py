"""Datasets out to other programs, and in from them."""

from __future__ import annotations

import json
from pathlib import Path

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2, example_pb2, transfer_pb2
from finetuneflow_client import imports, names
from finetuneflow_client.cli import flow, targets, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.view.dataset import stage_rows
from finetuneflow_client.cli.view.datasetfacts import show_dataset
from finetuneflow_client.cli.view.files import TransferView
from finetuneflow_client.downloads import unwritable
from finetuneflow_client.errors import FtfError
from finetuneflow_client.exports import export_dataset


def wants_export(session: Session) -> bool:
    """Whether a download asks for another form than the frozen file itself."""
    args = session.args
    return bool(args.format or args.encoding or args.with_source or args.split or args.from_reviews)


async def download(session: Session, name: str) -> None:
    """Fetch a dataset in another form and say what was left out."""
    args = session.args
    request = transfer_pb2.ExportDatasetRequest(
        name=name,
        version=args.version,
        format=format_value(args.format),
        encoding=encoding_value(args.encoding),
        with_source=args.with_source,
        from_reviews=args.from_reviews,
        split=example_pb2.Split.Value("SPLIT_" + (args.split.upper() or "UNSPECIFIED")),
    )
    view = TransferView("download", 0)

    def begun(file: transfer_pb2.ExportedFile) -> Path:
        path = Path(args.output or file.filename)
        view.begin(path.name)
        return path

    with session.screen.showing(view):
        file, path = await export_dataset(session.flow, request, begun, view.update)
    if session.output.as_json:
        session.output.message(file)
        return
    session.output.line(f"{path}  {wording.size(file.size_bytes)}  {file.sha256}")
    session.output.table(("STAGE", "IN", "OUT", "DROPPED"), stage_rows([file.count]))


async def import_dataset(session: Session) -> None:
    """Send a file of examples and wait until it is a dataset."""
    args = session.args
    path = Path(args.file)
    header = transfer_pb2.ImportHeader(
        parent=await session.project(),
        dataset_id=args.id,
        dataset=dataset_pb2.Dataset(display_name=args.id, spec=_spec(session)),
        format=format_value(args.format),
        encoding=encoding_value(args.encoding),
        mapping=_mapping(args.map),
        split_column=args.split_column,
        strict=args.strict,
    )
    view = TransferView("upload", path.stat().st_size if path.is_file() else 0)
    view.begin(path.name)
    with session.screen.showing(view):
        dataset = await imports.import_dataset(session.flow, header, path, view.update)
    if not args.no_watch:
        try:
            dataset = await flow.follow_dataset(session, dataset.name)
        except FtfError:
            request = dataset_service_pb2.GetDatasetRequest(name=dataset.name)
            failed = await session.flow.dataset.GetDataset(request)
            _tell_problems(session, failed)
            if failed.work.state == work_pb2.WORK_STATE_FAILED:
                short = names.short(dataset.name)
                again = f"import the corrected file with `--id {short}`, which takes its place"
                session.screen.say(f"{short} is listed as failed: {again}, or `ftf dataset delete {short}`")
            raise
    elif not session.output.as_json:
        session.output.line(dataset.name)
        return
    _tell_problems(session, dataset)
    show_dataset(session.output, dataset)


async def problems(session: Session) -> None:
    """Show every row that an import left out, with the reason and the remedy."""
    name = await targets.dataset(session, session.args.dataset, failed_too=True)
    request = transfer_pb2.DownloadImportReportRequest(name=name)
    data = b"".join([part.data async for part in session.flow.dataset.DownloadImportReport(request)])
    if session.args.output:
        _write(Path(session.args.output), data)
        session.output.saved([session.args.output])
        return
    found = [json.loads(line) for line in data.splitlines()]
    if session.output.as_json:
        session.output.json({"problems": found})
        return
    rows = [(str(p["row"]), p["column"], p["reason"], p["message"]) for p in found]
    session.output.table(("ROW", "COLUMN", "REASON", "MESSAGE"), rows)


def _write(path: Path, data: bytes) -> None:
    """Write a file; folders above it are made. Raises FtfError as unwritable()."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise unwritable(path, error, "choose another place with -o") from error


def _spec(session: Session) -> dataset_pb2.DatasetSpec:
    args = session.args
    spec = dataset_pb2.DatasetSpec(system_prompt=args.system_prompt)
    if args.eval_fraction is not None:
        spec.eval_fraction = args.eval_fraction
    return spec


def _mapping(text: str) -> dict[str, str]:
    """Return what `--map prompt=question,response=answer` means. Raises FtfError INVALID_ARGUMENT."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(target.strip() and sign and source.strip() for target, sign, source in pairs):
        raise FtfError(f"{text!r} maps nothing", "write --map prompt=question,response=answer", code="INVALID_ARGUMENT")
    return {target.strip(): source.strip() for target, _, source in pairs}


def _tell_problems(session: Session, dataset: dataset_pb2.Dataset) -> None:
    for problem in dataset.imported.problems:
        column = f", {problem.column}" if problem.column else ""
        session.screen.warn(f"row {problem.row}{column}: {problem.reason}: {problem.message}")
    dropped = sum(drop.count for count in dataset.counts for drop in count.dropped)
    if dropped > len(dataset.imported.problems):
        short = names.short(dataset.name)
        session.screen.warn(f"{dropped:,} rows were left out; see all with `ftf dataset problems {short}`")
    if dataset.imported.ignored_columns:
        session.screen.say(f"columns not used: {', '.join(dataset.imported.ignored_columns)}")


def format_value(name: str) -> dataset_pb2.DatasetFormat.ValueType:
    """Return the contract's value for a format's name."""
    return dataset_pb2.DatasetFormat.Value("DATASET_FORMAT_" + (name.upper().replace("-", "_") or "UNSPECIFIED"))


def encoding_value(name: str) -> dataset_pb2.DatasetEncoding.ValueType:
    """Return the contract's value for an encoding's name."""
    return dataset_pb2.DatasetEncoding.Value("DATASET_ENCODING_" + (name.upper() or "UNSPECIFIED"))
