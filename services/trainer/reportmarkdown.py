"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from services.trainer.reportparts import Picture, Report, Samples, Span, Table, Text


def markdown(report: Report) -> str:
    """Return a report as Markdown; its pictures are PNG files beside it."""
    parts = [f"# {_flat(report.title)}\n", _block(report.summary)]
    for section in report.shown:
        parts += [f"## {section.title}\n", *(_block(block) for block in section.blocks)]
    return "\n".join(parts)


def _block(block: Text | Table | Picture | Samples) -> str:
    if isinstance(block, Text):
        return "".join(_span(span) for span in block.spans) + "\n"
    if isinstance(block, Table):
        return _table(block.head, block.rows)
    if isinstance(block, Picture):
        return f"![{block.alt}]({block.name}.png)\n"
    rows = [(s.set, s.prompt, s.reference, s.base, s.tuned) for s in block.answers]
    return _table(("set", "prompt", "reference", "base", "tuned"), rows)


def _span(span: Span) -> str:
    marks = {"plain": "", "strong": "**", "code": "`"}[span.form]
    text = _flat(span.text).replace("`", "'") if span.form == "code" else _escaped(span.text)
    return f"{marks}{text}{marks}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[_escaped(text) for text in head], ["---"] * len(head), *[[_cell(text) for text in row] for row in rows]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """One line that cannot break out of its table."""
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    """Text in which nothing is HTML, a link, or a picture, which whoever reads the report would fetch."""
    flat = _flat(text).replace("\\", "\\\\").replace("<", "&lt;")
    for mark in "|`[":
        flat = flat.replace(mark, f"\\{mark}")
    return flat


def _flat(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
