"""Cutting an extracted text: one chunk for each line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.ingest.core.chunks import Cutter
from services.ingest.core.document import from_json
from services.ingest.sandbox.job import Job, Progress
from services.ingest.sandbox.tokenizer import load_tokenizer


def cut(job: Job, progress: Progress) -> dict[str, Any]:
    """Write the chunks and return their balance: characters in = out + dropped by reason."""
    progress("chunk", 0, 0, "characters")
    with Path(job.source).open(encoding="utf-8") as file:
        document = from_json(json.load(file))
    cutter = Cutter(document, job.max_tokens, job.overlap_tokens, load_tokenizer(job.tokenizer))
    chunks = tokens = covered = 0
    before: tuple[int, int] = (0, 0)
    with Path(job.target).open("w", encoding="utf-8") as out:
        for chunk, done in cutter.chunks():
            out.write(json.dumps(asdict(chunk), ensure_ascii=False) + "\n")
            chunks += 1
            tokens += chunk.tokens
            length = len(chunk.text)
            covered += length - max(0, before[1] - (done - length))
            before = (done - length, done)
            progress("chunk", done, cutter.characters, "characters")
    dropped: dict[str, int] = {}
    for part in document.removed:
        dropped[part.reason] = dropped.get(part.reason, 0) + part.end - part.start
    dropped["WHITESPACE"] = cutter.characters - covered
    return {
        "chunks": chunks,
        "tokens": tokens,
        "characters": len(document.text),
        "covered": covered,
        "dropped": {reason: count for reason, count in dropped.items() if count},
    }
