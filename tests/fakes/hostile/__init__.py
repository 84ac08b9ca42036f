"""Documents made to harm whoever reads them, each small to make: name → file name and bytes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.fakes.hostile.advisories import advisory_pdfs
from tests.fakes.hostile.archives import archives
from tests.fakes.hostile.pdfobjects import object_pdfs
from tests.fakes.hostile.pdfstreams import stream_pdfs
from tests.fakes.hostile.texts import texts

SECRET = "the-secret-of-another-file"
"""Stands in this very file, which some of them try to read."""


@cache
def hostile() -> dict[str, tuple[str, bytes]]:
    """Return all of them; made once."""
    secret = str(Path(__file__).resolve())
    pdfs = {**object_pdfs(), **stream_pdfs(), **advisory_pdfs()}
    return dict(sorted({**pdfs, **archives(secret), **texts(secret)}.items()))
