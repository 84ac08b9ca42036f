"""Datasets out to other programs, and in from them."""

from __future__ import annotations

from pathlib import Path

from finetuneflow.dataset.v1 import dataset_pb2, example_pb2, transfer_pb2
from finetuneflow_client.cli import wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.view.dataset import stage_rows
from finetuneflow_client.cli.view.files import TransferView
from finetuneflow_client.exports import export_dataset


def wants_export(session: Session) -> bool:
    """Whether a download asks for another form than the frozen file itself."""
    args = session.args
    return bool(args.format or args.encoding or args.with_source or args.split)


async def download(session: Session, name: str) -> None:
    """Fetch a dataset in another form and say what was left out."""
    args = session.args
    request = transfer_pb2.ExportDatasetRequest(
        name=name,
        version=args.version,
        format=format_value(args.format),
        encoding=encoding_value(args.encoding),
        with_source=args.with_source,
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


def format_value(name: str) -> dataset_pb2.DatasetFormat.ValueType:
    """Return the contract's value for a format's name."""
    return dataset_pb2.DatasetFormat.Value("DATASET_FORMAT_" + (name.upper().replace("-", "_") or "UNSPECIFIED"))


def encoding_value(name: str) -> dataset_pb2.DatasetEncoding.ValueType:
    """Return the contract's value for an encoding's name."""
    return dataset_pb2.DatasetEncoding.Value("DATASET_ENCODING_" + (name.upper() or "UNSPECIFIED"))
