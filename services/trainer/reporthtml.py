"""A report as one web page that needs nothing beside it: its pictures are inside, and it asks for nothing outside.

All text is escaped, because documents, questions and answers may hold anything; the page forbids scripts and requests
to itself besides (Content-Security-Policy).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.trainer.reportparts import Report

_TEMPLATE = "report.html.jinja"
_NUMBER = set("0123456789.,+-−%")


def page(report: Report, pictures: Mapping[str, bytes]) -> str:
    """Return a report as HTML.

    Args:
        pictures: name → SVG of every picture of the report.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["plain"] = _plain
    environment.tests["number"] = _is_number
    sources = {name: "data:image/svg+xml;base64," + base64.b64encode(svg).decode() for name, svg in pictures.items()}
    return environment.get_template(_TEMPLATE).render(report=report, pictures=sources)


def _plain(text: str) -> str:
    """Return text without what a browser does not show but obeys: control characters and marks that turn its direction.

    Lines and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def _is_number(text: str) -> bool:
    """Whether a cell is a number, which stands to the right."""
    first = text.split(" ", 1)[0]
    return any(c.isdigit() for c in first) and set(first) <= _NUMBER
