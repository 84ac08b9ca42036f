"""Cuttings: how they are ordered from a child process, and what is recorded of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from services.common.confined.limits import Limits
from services.common.documents.port import Document
from services.common.protoform import count_to_document
from services.ingest.sandbox.job import Job


def cut_job(
    source: Path, target: Path, settings: Mapping[str, Any], tokenizer: str, limits: Limits, most_chunks: int = 0
) -> Job:
    """Return the job of cutting a text.

    Args:
        settings: as ChunkRules.to_document gives them.
        tokenizer: path of a tokenizer.json; "" for cl100k_base.
        most_chunks: write only the first so many; 0 for all.
    """
    return Job(
        task="cut",
        source=str(source),
        target=str(target),
        limits=limits,
        tokenizer=tokenizer,
        max_tokens=settings["max_tokens"],
        overlap_tokens=settings["overlap_tokens"],
        strategy=settings.get("strategy", "structure"),
        heading_depth=settings.get("heading_depth", 0),
        most_chunks=most_chunks,
    )


def recorded(made: Mapping[str, Any], settings: Document, tokenizer: Document) -> Document:
    """Return what a file's document says of a cutting. made: the child's result."""
    return {
        "settings": settings,
        "tokenizer": tokenizer,
        "chunks": made["chunks"],
        "tokens": made["tokens"],
        "count": count_to_document("characters", made["characters"], made["covered"], made["dropped"]),
        "gaps": made["gaps"],
        "gap_count": made["gap_count"],
    }


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the chunks that a child wrote, one line at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
