"""Exports: make weights to take away, list them, fetch them."""

from __future__ import annotations

import re
from pathlib import Path

from finetuneflow.export.v1 import export_pb2, export_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import flow, targets, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.downloads import keep_others, signed_files
from finetuneflow_client.errors import FtfError, from_work

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_SIZE_REMEDY = "write it as 500MB or 2GB"
_LARGEST_SIZE = 2**63 - 1
_COLUMNS = ("EXPORT", "STATE", "PROGRESS", "FORMAT", "RUN", "FILES", "SIZE", "AGE")


async def export(session: Session) -> None:
    """Start an export; with --watch follow it to its end."""
    args = session.args
    run = await targets.finished_run(session, args.run)
    wanted = export_pb2.Export(run=run, format=export_pb2.Format.Value(f"FORMAT_{args.format.upper()}"))
    wanted.accept_forgetting = args.accept_forgetting
    if args.quantization:
        wanted.quantization = export_pb2.Quantization.Value(f"QUANTIZATION_{args.quantization}")
    if args.max_shard_size:
        wanted.max_shard_bytes = size_of(args.max_shard_size)
    request = export_service_pb2.CreateExportRequest(parent=names.parent(run), export=wanted, export_id=args.id)
    made = await session.flow.export.CreateExport(request)
    if args.watch:
        made = await flow.follow_export(session, made.name)
    if args.watch or session.output.as_json:
        show_export(session, made)
    else:
        session.output.line(made.name)


async def exports(session: Session) -> None:
    """List the project's exports, show one, or delete one."""
    args = session.args
    if not args.export:
        if args.delete:
            raise FtfError("--delete needs the export's id", "see `ftf exports`", code="INVALID_ARGUMENT")
        found = [export async for export in session.flow.exports(await session.project())]
        session.output.listing("exports", found, _COLUMNS, [_row(export) for export in found])
        return
    name = await targets.export(session, args.export)
    if args.delete:
        await session.flow.export.DeleteExport(export_service_pb2.DeleteExportRequest(name=name))
        session.deleted(name)
        return
    show_export(session, await session.flow.export.GetExport(export_service_pb2.GetExportRequest(name=name)))


async def download(session: Session) -> None:
    """Fetch an export's files into a folder, each checked by its hash."""
    args = session.args
    name = await targets.finished_export(session, args.export)
    found = await session.flow.export.GetExport(export_service_pb2.GetExportRequest(name=name))
    if error := from_work(found.work, f"export {names.short(name)}"):
        raise error
    if not found.artifacts:
        state = wording.state(found.work)
        remedy = f"wait with `ftf watch exports/{names.short(name)}`"
        raise FtfError(f"{name} is {state}", remedy, code="FAILED_PRECONDITION")
    folder = Path(args.output or names.short(name))
    keep_others(folder, [*found.artifacts, *(artifact for artifact, _ in await signed_files(session.flow, name))])
    await flow.download_export(session, found, folder)
    if session.output.as_json:
        session.output.message(found)
        return
    session.output.table(("FILE", "SIZE", "SHA256"), artifact_rows(found, folder))


def show_export(session: Session, found: export_pb2.Export) -> None:
    """Write an export: its facts and its files."""
    if session.output.as_json:
        session.output.message(found)
        return
    result = found.result
    session.output.facts(
        {
            "export": found.name,
            "state": f"{wording.state(found.work)} {wording.progress(found.work)}".strip(),
            "error": from_work(found.work, names.short(found.name)) or "",
            "format": _format(found),
            "run": found.run,
            "proven": proof(result),
        }
    )
    if found.artifacts:
        session.output.line()
        session.output.table(("FILE", "SIZE", "SHA256"), artifact_rows(found))


def artifact_rows(found: export_pb2.Export, folder: Path | None = None) -> list[tuple[str, ...]]:
    """Return an export's files as rows: path, size, SHA-256."""
    rows = [wording.artifact(artifact) for artifact in found.artifacts]
    return [(str(folder / name) if folder else name, size, sha256) for name, size, sha256 in rows]


def proof(result: export_pb2.ExportResult) -> str:
    """Return how an export was proven; "" before it was."""
    if not result.prompts:
        return ""
    logits = (
        f"logits within {result.max_logit_difference:.2g} of the tuned model's (allowed {result.logit_bound:.2g}) "
        f"on {wording.many(result.prompts, 'prompt')}"
    )
    if result.HasField("awq"):
        rounded = result.awq
        return (
            f"merged: {logits}\nin 4 bits, loaded again: {rounded.divergence:.2g} nats from the tuned model (allowed "
            f"{rounded.divergence_bound:.2g}), the same token in {rounded.agreement:.0%} of {rounded.tokens} places"
        )
    if result.HasField("onnx"):
        graph = result.onnx
        return (
            f"run by ONNX Runtime: {logits}, within {graph.max_logit_difference:.2g} of the merged weights' (allowed "
            f"{graph.logit_bound:.2g}); the same token in {graph.agreement:.0%} of {graph.tokens} places"
        )
    if not result.HasField("gguf"):
        return f"loaded again: {logits}"
    found = result.gguf
    return (
        f"merged: {logits}\nloaded by llama.cpp: {found.divergence:.2g} nats from the tuned model "
        f"(allowed {found.divergence_bound:.2g}), the same token in {found.agreement:.0%} of {found.tokens} places"
    )


def size_of(text: str) -> int:
    """Return a size such as "500MB" in bytes. Raises FtfError INVALID_ARGUMENT."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise FtfError(f"{text!r} is no size", _SIZE_REMEDY, code="INVALID_ARGUMENT")
    size = float(found[1]) * 1000 ** " KMGT".index(found[2].upper() or " ")
    if size >= _LARGEST_SIZE:
        raise FtfError(f"{text!r} is over 9 million TB", _SIZE_REMEDY, code="INVALID_ARGUMENT")
    return int(size)


def _format(found: export_pb2.Export) -> str:
    form = export_pb2.Format.Name(found.format).removeprefix("FORMAT_").lower()
    quantization = export_pb2.Quantization.Name(found.quantization).removeprefix("QUANTIZATION_")
    return f"{form} {quantization}" if found.quantization else form


def _row(found: export_pb2.Export) -> tuple[str, ...]:
    return (
        names.short(found.name),
        wording.state(found.work),
        wording.progress(found.work),
        _format(found),
        names.short(found.run),
        str(len(found.artifacts) or ""),
        wording.size(sum(a.size_bytes for a in found.artifacts)) if found.artifacts else "",
        wording.age(found.meta.create_time),
    )
