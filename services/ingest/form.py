"""Projects, files and chunks as messages of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, project_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.common.protoform import (
    artifact_to_proto,
    check_mask,
    count_to_proto,
    meta_to_proto,
    user_fields,
    work_to_proto,
)
from services.ingest.archives import Unpacked
from services.ingest.core.settings import ChunkRules, Strategy, chunk_rules
from services.ingest.previewing import Preview
from services.ingest.projects import ProjectChange

_CHANGEABLE = {
    "display_name": "display_name",
    "description": "description",
    "meta.labels": "labels",
    "meta.annotations": "annotations",
}

_STRATEGIES: dict[file_pb2.ChunkStrategy.ValueType, Strategy] = {
    file_pb2.CHUNK_STRATEGY_UNSPECIFIED: "structure",
    file_pb2.CHUNK_STRATEGY_STRUCTURE: "structure",
    file_pb2.CHUNK_STRATEGY_MARKDOWN: "markdown",
    file_pb2.CHUNK_STRATEGY_CODE: "code",
}


def project_to_proto(doc: Document) -> project_pb2.Project:
    """Return a project."""
    return project_pb2.Project(
        name=doc["_id"], display_name=doc["display_name"], meta=meta_to_proto(doc), description=doc["description"]
    )


def project_change(project: project_pb2.Project, mask: Sequence[str]) -> ProjectChange:
    """Return the new values that a mask names; an empty mask names all that are set.

    Raises:
        InvalidArgument: the mask names another field, or a value is out of range.
    """
    check_mask(mask, _CHANGEABLE)
    values = {
        **user_fields(project.display_name, project.meta, "project"),
        "description": project.description,
    }
    wanted = [_CHANGEABLE[path] for path in mask] or [key for key, value in values.items() if value]
    return ProjectChange(**{key: values[key] for key in wanted})


def file_to_proto(doc: Document) -> file_pb2.File:
    """Return a file."""
    return file_pb2.File(
        name=doc["_id"],
        display_name=doc["display_name"],
        meta=meta_to_proto(doc),
        work=work_to_proto(doc["work"]),
        content=artifact_to_proto(doc["content"]),
        mime_type=doc["mime_type"],
        text=_text(doc["text"]) if doc["text"] else None,
        chunking=_chunking(doc["chunking"]) if doc["chunking"] else None,
        language=doc.get("language", ""),
        path=doc.get("path", ""),
    )


def unpacked_to_proto(found: Unpacked) -> pb.UploadArchiveResponse:
    """Return what an archive gave."""
    return pb.UploadArchiveResponse(
        files=[file_to_proto(doc) for doc in found.files],
        entries=[
            pb.ArchiveEntry(path=e.path, size_bytes=e.size, file=e.file, reason=e.reason, message=e.message)
            for e in found.entries
        ],
    )


def _text(text: Document) -> file_pb2.ExtractedText:
    return file_pb2.ExtractedText(
        artifact=artifact_to_proto(text["artifact"]),
        characters=text["characters"],
        pages=text["pages"],
        count=count_to_proto(text["count"]),
        extractor=text["extractor"],
        failed_extractor=text.get("left", ""),
        failed_because=text.get("left_because", ""),
        pages_without_text=text.get("textless", ()),
        pages_by_ocr=text.get("recognised", ()),
    )


def _chunking(chunking: Document) -> file_pb2.Chunking:
    return file_pb2.Chunking(
        settings=_settings(chunking["settings"]),
        chunks=chunking["chunks"],
        tokens=chunking["tokens"],
        tokenizer=chunking["tokenizer"]["label"],
        count=count_to_proto(chunking["count"]),
        gaps=[_gap(gap) for gap in chunking.get("gaps", ())],
        gap_count=chunking.get("gap_count", 0),
    )


def chunk_rules_of(settings: file_pb2.ChunkSettings) -> ChunkRules:
    """Return settings, checked and with their defaults. Raises InvalidArgument."""
    strategy = _STRATEGIES.get(settings.strategy)
    if strategy is None:
        raise InvalidArgument(
            f"strategy {settings.strategy} is not known. Use STRUCTURE, MARKDOWN or CODE.", field="settings.strategy"
        )
    return chunk_rules(settings.model, settings.max_tokens, settings.overlap_tokens, strategy, settings.heading_depth)


def _settings(stored: Document) -> file_pb2.ChunkSettings:
    strategy = stored.get("strategy", "structure")
    return file_pb2.ChunkSettings(
        model=stored["model"],
        max_tokens=stored["max_tokens"],
        overlap_tokens=stored["overlap_tokens"],
        strategy=next(number for number, name in _STRATEGIES.items() if name == strategy and number),
        heading_depth=stored.get("heading_depth", 0),
    )


def _gap(gap: Sequence[Any]) -> chunk_pb2.Gap:
    start, end, reason = gap
    return chunk_pb2.Gap(span=chunk_pb2.Span(start=start, end=end), reason=reason)


def chunk_to_proto(doc: Document) -> chunk_pb2.Chunk:
    """Return a chunk."""
    return chunk_pb2.Chunk(
        name=doc["_id"],
        index=doc["index"],
        text=doc["text"],
        tokens=doc["tokens"],
        spans=[chunk_pb2.Span(start=start, end=end) for start, end in doc["spans"]],
        context=doc["context"],
        places=[_place(place) for place in doc["places"]],
        text_sha256=doc["text_sha256"],
        gaps=[_gap(gap) for gap in doc.get("gaps", ())],
    )


def preview_to_proto(preview: Preview) -> pb.PreviewChunksResponse:
    """Return a preview."""
    return pb.PreviewChunksResponse(
        chunking=_chunking(preview.chunking),
        histogram=[pb.TokenBin(least=least, most=most, chunks=chunks) for least, most, chunks in preview.histogram],
        chunks=[chunk_to_proto({**chunk, "_id": "", "text_sha256": preview.text_sha256}) for chunk in preview.chunks],
    )


def _place(place: Document) -> chunk_pb2.Place:
    return chunk_pb2.Place(
        span=chunk_pb2.Span(start=place["start"], end=place["end"]),
        page=place["page"],
        headings=place["headings"],
        paragraph=place["paragraph"],
        slide=place.get("slide", 0),
        sheet=place.get("sheet", ""),
        cells=place.get("cells", ""),
        line=place.get("line", 0),
        pointer=place.get("pointer", ""),
    )
