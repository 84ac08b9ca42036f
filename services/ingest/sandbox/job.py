"""What the process is told to do, and how it answers.

A job is a JSON file; see services.common.confined for how it gets there and for the answers. Progress is
[phase, done, total, unit].
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from services.common.confined.answers import answer
from services.common.confined.limits import Limits
from services.ingest.core.settings import Strategy

Progress = Callable[[str, int, int, str], None]
"""Says phase, units done, units in all (0 if not known) and what is counted."""

OPENED = "opened"
"""The phase by which the process says, once and to this program alone, that a reader opens the document; its unit is
the reader's name. Only pdf_oxide says so, which opens but some."""

_PROGRESS_SECONDS = 0.2


@dataclass(frozen=True)
class Ocr:
    """How pictures of pages are read.

    Args:
        program: path of tesseract; "" for no OCR.
        languages: as tesseract names them, joined by "+"; "" for its default.
        pages: most pages of one document.
        page_seconds: most for one page.
    """

    program: str = ""
    languages: str = ""
    pages: int = 200
    page_seconds: int = 60


@dataclass(frozen=True)
class Job:
    """One task.

    Args:
        task: "extract" a document, "cut" an extracted text, or "unpack" an archive.
        source: the file to read.
        target: the file to write.
        limits: what may be used.
        filename: extract: the document's own name.
        mime_type: extract: what its first bytes are.
        reader: extract: a later reader of a format, to leave out those before it; see child.READERS.
        left: extract: the reader that was left out, with its version.
        left_because: extract: why.
        ocr: extract: how pictures of pages are read.
        processes: extract: how many may read a long PDF at once.
        most_bytes: unpack: largest member.
        tokenizer: cut: path of a tokenizer.json; "" for cl100k_base out of TIKTOKEN_CACHE_DIR.
        max_tokens: cut: most tokens in a chunk.
        overlap_tokens: cut: most tokens that a chunk repeats.
        strategy: cut: where to cut first; see core.settings.ChunkRules.
        heading_depth: cut: deepest level of heading that begins a chunk.
        most_chunks: cut: write only the first so many chunks; 0 for all. All are counted.
    """

    task: Literal["extract", "cut", "unpack"]
    source: str
    target: str
    limits: Limits
    filename: str = ""
    mime_type: str = ""
    reader: str = ""
    left: str = ""
    left_because: str = ""
    ocr: Ocr = Ocr()
    processes: int = 1
    most_bytes: int = 0
    tokenizer: str = ""
    max_tokens: int = 0
    overlap_tokens: int = 0
    strategy: Strategy = "structure"
    heading_depth: int = 0
    most_chunks: int = 0

    def write(self, path: Path) -> None:
        """Write the job to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Job:
        """Return the job that write wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**fields, "limits": Limits(**fields["limits"]), "ocr": Ocr(**fields["ocr"])})


def reporter() -> Progress:
    """Return a Progress that answers at most five times a second."""
    last = 0.0

    def report(phase: str, done: int, total: int, unit: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS or done == total:
            last = now if phase != OPENED else last
            answer("progress", [phase, done, total, unit])

    return report
