"""A few thousand characters that stand for a document, to tell its language by."""

from __future__ import annotations

from services.ingest.core.document import ExtractedDocument

MOST = 3_000
_PARTS = 6


def sample(document: ExtractedDocument) -> str:
    """Return at most 3,000 characters from six places of a document: running text first, tables where there is none.

    Code and what was removed are left out. The same document always gives the same sample.
    """
    removed = {(part.start, part.end) for part in document.removed}
    blocks = [b for b in document.blocks if b.kind != "code" and (b.start, b.end) not in removed]
    running = [b for b in blocks if b.kind != "table"]
    chosen = running if sum(b.end - b.start for b in running) >= MOST // _PARTS else blocks
    if not chosen:
        return ""
    found: list[str] = []
    last = -1
    for part in range(_PARTS):
        index = max(part * len(chosen) // _PARTS, last + 1)
        room = MOST // _PARTS
        while index < len(chosen) and room > 0:
            block = chosen[index]
            text = document.text[block.start : min(block.end, block.start + room)]
            found.append(text)
            room -= len(text)
            last = index
            index += 1
    return "\n".join(found)
