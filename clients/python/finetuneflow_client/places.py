"""Places in source documents, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetuneflow.ingest.v1 import chunk_pb2


def place(found: chunk_pb2.Place) -> str:
    """Return a place in a source in words: "page 3", "Leave › Parental leave, paragraph 12", "sheet Prices, A2:F9"."""
    if found.page:
        return f"page {found.page}"
    if found.slide:
        return f"slide {found.slide}"
    if found.cells or found.sheet:
        sheet = f"sheet {found.sheet}" if found.sheet else "cells"
        return f"{sheet}, {found.cells}" if found.sheet and found.cells else f"{sheet} {found.cells}".strip()
    if found.line:
        return f"line {found.line}"
    if found.pointer:
        return found.pointer
    heading = " › ".join(found.headings)
    paragraph = f"paragraph {found.paragraph}" if found.paragraph else ""
    return ", ".join(part for part in (heading, paragraph) if part)
