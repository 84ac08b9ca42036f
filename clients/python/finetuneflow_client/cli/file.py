"""Files and chunks."""

from __future__ import annotations

from finetuneflow.ingest.v1 import file_pb2, ingest_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import dependents, exits, flow, targets, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import chunk_settings
from finetuneflow_client.cli.view.chunks import GAP_COLUMNS, cut_facts, gap_rows, histogram_lines, piece_lines
from finetuneflow_client.cli.view.dataset import stage_rows
from finetuneflow_client.cli.view.files import failure, tokenizer
from finetuneflow_client.errors import FtfError
from finetuneflow_client.picking import pick
from finetuneflow_client.places import place

_COLUMNS = ("FILE", "NAME", "STATE", "SIZE", "LANGUAGE", "PAGES", "CHARACTERS", "CHUNKS", "TOKENS", "NOTE")


async def upload(session: Session) -> int:
    """Send documents and wait until they are read; one bad document does not stop the others."""
    args = session.args
    files, refused = await flow.upload(session, await session.project(), pick(args.paths))
    if files and not args.no_wait:
        files = await flow.read(session, files)
    for error in refused:
        session.screen.warn(f"ftf: {error}")
    if files or session.output.as_json:
        _listed(session, files)
    if refused and not files and all(error.code == "INVALID_ARGUMENT" and not error.reason for error in refused):
        return exits.USAGE  # nothing was sent: the paths are wrong
    return exits.FAILED if refused or any(failure(file) for file in files) else exits.OK


async def files(session: Session) -> None:
    """List files, show some, or delete some."""
    args = session.args
    found = await targets.files(session, args.files)
    if args.delete:
        for name in found:
            await dependents.confirm(session, dependents.of_file, name, f"ftf files {names.short(name)} --delete")
            await session.flow.ingest.DeleteFile(ingest_service_pb2.DeleteFileRequest(name=name))
        session.deleted(*found)
        return
    if not found:
        _listed(session, [file async for file in session.flow.files(await session.project())])
        return
    shown = [await session.flow.ingest.GetFile(ingest_service_pb2.GetFileRequest(name=name)) for name in found]
    if session.output.as_json:
        _listed(session, shown)
        return
    for file in shown:
        _show(session, file)


async def chunk(session: Session) -> None:
    """Cut files into chunks."""
    args = session.args
    model = await targets.model(session, args.model) if args.model else ""
    wanted = await targets.files(session, args.files)
    if args.preview:
        await _preview(session, wanted, chunk_settings(args, model))
        return
    cut = await flow.chunk(session, await session.project(), chunk_settings(args, model), wanted)
    _listed(session, cut)


async def chunks(session: Session) -> None:
    """Show a file's chunks with their places and texts, or what is in none of them."""
    name = await targets.file(session, session.args.file)
    found = [chunk async for chunk in session.flow.chunks(name)]
    if session.args.gaps:
        gaps = [gap for piece in found for gap in piece.gaps]
        session.output.listing("gaps", gaps, GAP_COLUMNS, gap_rows(gaps))
        return
    if session.output.as_json:
        session.output.listing("chunks", found, (), ())
        return
    for piece in found:
        where = "; ".join(dict.fromkeys(place(p) for p in piece.places))
        session.output.line(f"── {names.short(piece.name)} · {wording.many(piece.tokens, 'token')} · {where}")
        session.output.line(piece.text.strip())
        session.output.line()


async def _preview(session: Session, files: list[str], settings: file_pb2.ChunkSettings) -> None:
    if len(files) != 1:
        raise FtfError("a preview is of one file", "name one: `ftf chunk --preview FILE`", code="INVALID_ARGUMENT")
    request = ingest_service_pb2.PreviewChunksRequest(file=files[0], settings=settings, max_chunks=session.args.show)
    found = await session.flow.ingest.PreviewChunks(request)
    if session.output.as_json:
        session.output.message(found)
        return
    session.output.facts({"file": files[0], **cut_facts(found.chunking)})
    for line in (*histogram_lines(found.histogram), *(line for piece in found.chunks for line in piece_lines(piece))):
        session.output.line(line)
    left = found.chunking.chunks - len(found.chunks)
    session.output.line(
        f"… and {wording.many(left, 'chunk')} more; nothing was stored" if left else "nothing was stored"
    )


def _show(session: Session, file: file_pb2.File) -> None:
    counts = [file.text.count, file.chunking.count]
    balance = [
        f"{stage}: {came} in, {went} out" + (f", dropped {dropped}" if dropped else "")
        for stage, came, went, dropped in stage_rows([count for count in counts if count.stage])
    ]
    error = failure(file)
    session.output.facts(
        {
            "file": file.name,
            "name": file.display_name,
            "came from": file.path,
            "type": file.mime_type,
            "size": wording.size(file.content.size_bytes),
            "sha256": file.content.sha256,
            "state": wording.state(file.work),
            "error": error or "",
            "language": file.language,
            "read by": file.text.extractor,
            "tried first": f"{file.text.failed_extractor}: {file.text.failed_because}"
            if file.text.failed_extractor
            else "",
            "without text": wording.numbers(file.text.pages_without_text),
            "by OCR": wording.numbers(file.text.pages_by_ocr),
            "pages": file.text.pages or "",
            "characters": f"{file.text.characters:,}" if file.text.characters else "",
            "chunks": f"{file.chunking.chunks:,}" if file.chunking.chunks else "",
            "tokens": f"{file.chunking.tokens:,} by {tokenizer(file.chunking)}" if file.chunking.tokens else "",
            "balance": "\n".join(balance),
            "gaps": f"{file.chunking.gap_count:,}, see `ftf chunks {names.short(file.name)} --gaps`"
            if file.chunking.gap_count
            else "",
        }
    )


def _listed(session: Session, found: list[file_pb2.File]) -> None:
    rows = [
        (
            names.short(file.name),
            file.display_name,
            wording.state(file.work),
            wording.size(file.content.size_bytes),
            file.language,
            str(file.text.pages or ""),
            f"{file.text.characters:,}",
            str(file.chunking.chunks or ""),
            f"{file.chunking.tokens:,}" if file.chunking.chunks else "",
            error.reason or error.code if (error := failure(file)) else "",
        )
        for file in found
    ]
    session.output.listing("files", found, _COLUMNS, rows)
