"""Where a result comes from: export → run → dataset → files, and example → chunk → page."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from finetuneflow.dataset.v1 import dataset_service_pb2
from finetuneflow.export.v1 import export_pb2, export_service_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets, wording
from finetuneflow_client.cli.lineage import Record
from finetuneflow_client.cli.output import to_json
from finetuneflow_client.cli.session import Session
from finetuneflow_client.downloads import download_dataset
from finetuneflow_client.errors import FtfError
from finetuneflow_client.places import place

Found = dict[str, object]
_Step = Callable[[Session, str, Found], Awaitable[object]]


async def trace(session: Session) -> None:
    """Show the way from a result back to the documents; as JSON, every resource on it."""
    name = await targets.traceable(session, session.args.name)
    kind = names.kind(name)
    steps: dict[str, _Step] = {"exports": _export, "runs": _run, "datasets": _dataset, "examples": _example}
    if kind not in steps:
        remedy = "name exports/ID, runs/ID, datasets/ID or datasets/ID/examples/ID"
        raise FtfError(f"{name} cannot be traced", remedy, code="INVALID_ARGUMENT")
    found: Found = {}
    await steps[kind](session, name, found)
    if session.output.as_json:
        session.output.json(found)


async def _export(session: Session, name: str, found: Found) -> None:
    export = await session.flow.export.GetExport(export_service_pb2.GetExportRequest(name=name))
    found["export"] = to_json(export)
    session.output.line(f"export   {name}")
    for artifact in export.artifacts:
        session.output.line(f"           {artifact.filename}  sha256 {artifact.sha256}")
    origin = export.origin if export.HasField("origin") else None
    run = await _run_of(session, export.run)
    if run is None:
        session.output.line(f"run      {export.run}: deleted since")
    elif origin and _learning(run) != _learning(origin):
        session.output.line(f"run      {export.run}: deleted since; another has its name")
    else:
        _show_run(session, run, found)
    if record := origin or run:
        await _learned(session, record, found, export.origin.documents)


async def _run_of(session: Session, name: str) -> run_pb2.Run | None:
    """Return a run; None if it is deleted."""
    try:
        return await session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name))
    except FtfError as error:
        if error.code != "NOT_FOUND":
            raise
        return None


def _learning(record: Record) -> tuple[str, str, str, str]:
    """Return what weights were trained from and on, by which a run is told from another of its name."""
    return record.model, record.model_revision, record.dataset_sha256, record.resume_from_checkpoint


async def _run(session: Session, name: str, found: Found) -> None:
    run = await session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name))
    _show_run(session, run, found)
    await _learned(session, run, found)


def _show_run(session: Session, run: run_pb2.Run, found: Found) -> None:
    found["run"] = to_json(run)
    session.output.line(f"run      {run.name}")


async def _learned(
    session: Session, record: Record, found: Found, documents: Sequence[export_pb2.SourceDocument] = ()
) -> None:
    """Show what weights were trained from and on.

    Args:
        documents: to show if the dataset is deleted.
    """
    session.output.line(f"model    {record.model} at {record.model_revision}")
    if await _dataset(session, record.dataset, found, record.dataset_version, record.dataset_sha256):
        return
    for document in documents:
        title, short = document.display_name or document.name, names.short(document.name)
        session.output.line(f"file     {title}" + (f" ({short})" if short != title else ""))


async def _dataset(session: Session, name: str, found: Found, version: int = 0, sha256: str = "") -> bool:
    """Show a dataset and its files; return whether it is there."""
    request = dataset_service_pb2.GetDatasetStatisticsRequest(name=name)
    try:
        statistics = await session.flow.dataset.GetDatasetStatistics(request)
    except FtfError as error:
        if error.code != "NOT_FOUND":
            raise
        session.output.line(f"dataset  {name}: deleted since; its frozen file had sha256 {sha256}")
        return False
    found["dataset"] = {"name": name, "version": version, "statistics": to_json(statistics)}
    frozen = f", version {version}, sha256 {sha256}" if version else ""
    session.output.line(f"dataset  {name}{frozen}")
    counted = await _rows(session, name, version) if version else None
    now = ", as they are now" if version and counted is None else ""
    if counted is None:
        counted = {(file.display_name, file.file): file.accepted for file in statistics.files}
    for (title, file), count in counted.items():
        short = f" ({names.short(file)})" if file else ""
        session.output.line(f"file     {title}{short}, {wording.many(count, 'example')}{now}")
    return True


async def _rows(session: Session, name: str, version: int) -> dict[tuple[str, str], int] | None:
    """Return how many rows of a frozen version each file has, by its title and name; None if they are gone.

    Examples may have been edited, reviewed or added since, so the version's own bytes are counted.
    """
    dataset = await session.flow.dataset.GetDataset(dataset_service_pb2.GetDatasetRequest(name=name))
    frozen = next((v for v in dataset.versions if v.version == version), None)
    if frozen is None or frozen.erased:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = await download_dataset(session.flow, name, frozen, Path(folder) / "rows")
        with path.open(encoding="utf-8") as lines:
            sources = [json.loads(line).get("source") or {} for line in lines]
    return dict(sorted(Counter((s["file_name"], s.get("file", "")) for s in sources if s.get("file_name")).items()))


async def _example(session: Session, name: str, found: Found) -> None:
    example = await session.flow.dataset.GetExample(dataset_service_pb2.GetExampleRequest(name=name))
    found["example"] = to_json(example)
    output = session.output
    output.facts(
        {
            "example": name,
            "prompt": example.prompt,
            "response": example.response,
            "asked by": f"{example.prompt_version}, {example.llm}" if example.llm else "",
            "evidence": f"“{example.evidence}”" if example.evidence else "",
            "chunk": example.chunk,
            "place": place(example.place),
        }
    )
    if example.HasField("imported"):
        row = example.imported
        output.line(f"imported  row {row.row} of {row.filename}, sha256 {row.sha256}")
        return
    file_name = names.parent(example.chunk)
    try:
        chunk = await session.flow.ingest.GetChunk(ingest_service_pb2.GetChunkRequest(name=example.chunk))
        file = await session.flow.ingest.GetFile(ingest_service_pb2.GetFileRequest(name=file_name))
    except FtfError as error:
        if error.code != "NOT_FOUND":
            raise
        output.line(f"file      {example.file_display_name}: deleted or cut anew since")
        return
    found.update(chunk=to_json(chunk), file=to_json(file))
    output.line(f"file      {file.display_name} ({names.short(file.name)}), sha256 {file.content.sha256}")
    output.line(f"text      sha256 {chunk.text_sha256}")
    output.line()
    output.line(chunk.text.strip())
