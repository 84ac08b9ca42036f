"""Cutting an extracted text: one chunk for each line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.ingest.core.chunks import Chunk, Cutter
from services.ingest.core.coverage import Coverage, Gap
from services.ingest.core.document import from_json
from services.ingest.sandbox.job import Job, Progress
from services.ingest.sandbox.tokenizer import load_tokenizer

_MOST_GAPS = 100
_MOST_OF_CHUNK = 2_000
"""Most gaps kept with one chunk, so that its document stays well below 1 MiB; `gap_count` counts all."""
_BINS = 10


def cut(job: Job, progress: Progress) -> dict[str, Any]:
    """Write the chunks and return their balance: characters in = out + dropped by reason.

    Raises:
        Uncovered: a chunk was left out, which is a mistake of the cutter's; nothing of the cutting counts then.
    """
    progress("chunk", 0, 0, "characters")
    with Path(job.source).open(encoding="utf-8") as file:
        document = from_json(json.load(file))
    tokenizer = load_tokenizer(job.tokenizer)
    cutter = Cutter(
        document,
        job.max_tokens,
        job.overlap_tokens,
        tokenizer,
        strategy=job.strategy,
        heading_depth=job.heading_depth,
    )
    coverage = Coverage(document)
    chunks = tokens = 0
    width = -(-job.max_tokens // _BINS)
    lengths = [0] * _BINS
    first: list[Gap] = []
    with Path(job.target).open("w", encoding="utf-8") as out:
        for chunk, gaps in with_gaps(_told(cutter, progress), coverage):
            first.extend(gaps[: _MOST_GAPS - len(first)])
            if chunk is None:
                continue
            if not job.most_chunks or chunks < job.most_chunks:
                out.write(_line(chunk, gaps))
            chunks += 1
            tokens += chunk.tokens
            lengths[min((chunk.tokens - 1) // width, _BINS - 1)] += 1
    return {
        "chunks": chunks,
        "tokens": tokens,
        "characters": len(document.text),
        "covered": coverage.covered,
        "dropped": coverage.dropped,
        "gaps": [_row(gap) for gap in first],
        "gap_count": coverage.count,
        "histogram": [[i * width + 1, (i + 1) * width, count] for i, count in enumerate(lengths)],
    }


def with_gaps(chunks: Iterator[Chunk], coverage: Coverage) -> Iterator[tuple[Chunk | None, list[Gap]]]:
    """Yield each chunk with the gaps before and inside it, the last also with those after it.

    A document that gives no chunk yields None with all of its gaps. Raises Uncovered.
    """
    held: Chunk | None = None
    gaps: list[Gap] = []
    for chunk in chunks:
        if held:
            yield held, gaps
        held, gaps = chunk, coverage.take(chunk.spans)
    yield held, gaps + coverage.rest()


def _told(cutter: Cutter, progress: Progress) -> Iterator[Chunk]:
    for chunk, done in cutter.chunks():
        yield chunk
        progress("chunk", done, cutter.characters, "characters")


def _line(chunk: Chunk, gaps: list[Gap]) -> str:
    row = {
        "index": chunk.index,
        "text": chunk.text,
        "tokens": chunk.tokens,
        "spans": chunk.spans,
        "context": chunk.context,
        "places": [place._asdict() for place in chunk.places],
        "gaps": [_row(gap) for gap in gaps[:_MOST_OF_CHUNK]],
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


def _row(gap: Gap) -> list[int | str]:
    return [gap.start, gap.end, gap.reason]
