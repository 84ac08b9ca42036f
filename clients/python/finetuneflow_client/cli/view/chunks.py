"""How a file is cut, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from finetuneflow_client.cli import wording
from finetuneflow_client.cli.view.dataset import stage_rows
from finetuneflow_client.cli.view.files import tokenizer
from finetuneflow_client.places import place

if TYPE_CHECKING:
    from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, ingest_service_pb2

GAP_COLUMNS = ("START", "END", "REASON")
_BAR = 40
_STRATEGIES = {1: "structure", 2: "markdown", 3: "code"}


def cut_facts(cut: file_pb2.Chunking) -> dict[str, object]:
    """Return the facts of a cutting."""
    settings = cut.settings
    depth = f", headings to level {settings.heading_depth}" if settings.heading_depth else ""
    overlap = f", overlap {settings.overlap_tokens}" if settings.overlap_tokens else ""
    strategy = _STRATEGIES.get(settings.strategy, "structure")
    balance = [
        f"{stage}: {came} in, {went} out" + (f", dropped {dropped}" if dropped else "")
        for stage, came, went, dropped in stage_rows([cut.count])
    ]
    return {
        "cut": f"{strategy}{depth}, at most {settings.max_tokens} tokens{overlap}",
        "chunks": f"{cut.chunks:,}",
        "tokens": f"{cut.tokens:,} by {tokenizer(cut)}",
        "balance": "\n".join(balance),
        "gaps": f"{cut.gap_count:,}",
    }


def histogram_lines(bins: Iterable[ingest_service_pb2.TokenBin]) -> Iterator[str]:
    """Yield chunks by tokens as bars: "  39 to 78  ████ 4"."""
    found = list(bins)
    most = max((b.chunks for b in found), default=0)
    for b in found:
        length = -(-b.chunks * _BAR // most) if most else 0
        yield f"{b.least:>6} to {b.most:<6} {'█' * length} {b.chunks or ''}".rstrip()


def piece_lines(piece: chunk_pb2.Chunk) -> Iterator[str]:
    """Yield a chunk with what stands around it: gaps that are no white space, spans, context, places, text."""
    for start, end, reason in gap_rows(piece.gaps):
        if reason != "WHITESPACE":
            yield f"   left out {start} to {end}: {reason}"
    spans = ", ".join(f"{span.start} to {span.end}" for span in piece.spans)
    yield ""
    yield f"── chunk {piece.index} · {wording.many(piece.tokens, 'token')} · characters {spans}"
    where = "; ".join(dict.fromkeys(place(p) for p in piece.places))
    if where:
        yield f"   at {where}"
    if piece.context:
        yield "   under " + " › ".join(piece.context)
    yield piece.text


def gap_rows(gaps: Iterable[chunk_pb2.Gap]) -> list[tuple[str, str, str]]:
    """Return start, end and reason of each gap."""
    return [(str(gap.span.start), str(gap.span.end), gap.reason) for gap in gaps]
