"""Documents of many kinds and writers: out of installed packages that the lock names, or made on the spot of such text.

The same ones every time. None is made for this project: licences, descriptions, manuals, tables, code, templates.
"""

from __future__ import annotations

import csv
import html
import inspect
import io
import json
import pydoc
from collections.abc import Callable, Mapping
from importlib import metadata, resources
from pathlib import Path

from tests.fakes.documents import docx_file, pdf, picture_pdf, table_pdf
from tests.fakes.office import epub_file, odt_file, pptx_file, xlsx_file

_MOST = 4_000
"""Longest text that is taken of one source, in code points: the kinds are what matters, not the length."""


def packaged(package: str, ending: str) -> bytes:
    """Return the first file of an installed package whose path ends so, with or without .txt after it."""
    endings = (ending, f"{ending}.txt")
    found = sorted(str(file) for file in metadata.files(package) or () if str(file).endswith(endings))
    return Path(str(metadata.distribution(package).locate_file(found[0]))).read_bytes()


def licence(package: str) -> str:
    """Return a package's licence."""
    return packaged(package, "LICENSE").decode()[:_MOST]


def description(package: str) -> str:
    """Return the text that a package is described with where it is published."""
    text = metadata.metadata(package).get_payload()  # type: ignore[attr-defined]  # a message
    return str(text).strip()[:_MOST]


def manual(subject: object) -> str:
    """Return the manual page of something in Python, as `python -m pydoc` prints it."""
    return pydoc.render_doc(subject, renderer=pydoc.plaintext)[:_MOST]  # type: ignore[attr-defined]  # it is there


def zones() -> list[list[str]]:
    """Return rows of the table of time zones."""
    lines = resources.files("tzdata").joinpath("zoneinfo/zone.tab").read_text("utf-8").splitlines()
    return [line.split("\t")[:3] for line in lines if not line.startswith("#")][:60]


def _plain(text: str) -> str:
    """Return text in the characters that the fonts of every PDF reader have."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _paragraphs(text: str, tag: str) -> str:
    parts = (html.escape(" ".join(part.split())) for part in text.split("\n\n") if part.strip())
    return "".join(f"<{tag}>{part}</{tag}>" for part in parts)


def _notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": description("markdown-it-py").splitlines(keepends=True)},
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [],
            "source": ["import json\n", "print(json.dumps([1, 2]))\n"],
        },
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1).encode()


def _csv(delimiter: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows([["code", "coordinates", "zone"], *zones()])
    return out.getvalue().encode()


def _rtf() -> bytes:
    text = licence("jinja2").replace("\\", "\\\\").replace("{", "\\{").replace("}", "\\}")
    return ("{\\rtf1\\ansi " + text.replace("\n\n", "\\par ").replace("\n", " ") + "}").encode()


def _records() -> bytes:
    rows = ({"code": code, "place": place, "zone": zone} for code, place, zone in zones())
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _page(subject: object) -> bytes:
    return pydoc.HTMLDoc().page("Manual", pydoc.html.document(subject)).encode()


_READABLE: Mapping[str, Callable[[], bytes]] = {
    "bsd-licence.txt": lambda: licence("click").encode(),
    "apache-licence.pdf": lambda: pdf(*_plain(licence("requests")).split("\f"), header="Licence"),
    "mpl-licence.docx": lambda: docx_file("# Licence", *licence("certifi").split("\n\n")),
    "jinja.md": lambda: description("jinja2").encode(),
    "lxml.rst": lambda: description("lxml").encode(),
    "charset.md": lambda: description("charset-normalizer").encode("utf-8-sig"),
    "manual-csv.txt": lambda: manual(csv.reader).encode(),
    "manual-json.pdf": lambda: pdf(_plain(manual(json.dumps)), header="Library Functions Manual"),
    "manual-table.pdf": lambda: table_pdf(zones()[:20], ruled=True),
    "manual-encoder.html": lambda: _page(json.JSONEncoder),
    "decoder.txt": lambda: inspect.getsource(json.JSONDecoder).encode(),
    "zones.csv": lambda: _csv(";"),
    "zones.tsv": lambda: _csv("\t"),
    "zones.xlsx": lambda: xlsx_file({"Zones": [["code", "coordinates", "zone"], *zones()], "Empty": []}),
    "zones.jsonl": _records,
    "stocks.csv": lambda: packaged("matplotlib", "sample_data/msft.csv"),
    "metaschema.json": lambda: packaged("jsonschema-specifications", "draft7/metaschema.json"),
    "notebook.json": _notebook,
    "slides.pptx": lambda: pptx_file(notes=description("click")[:500]),
    "book.epub": lambda: epub_file(*(f"<h1>{n}</h1>{_paragraphs(description(n), 'p')}" for n in ("rich", "pyyaml"))),
    "letter.odt": lambda: odt_file(_paragraphs(licence("click"), "text:p")),
    "licence.rtf": _rtf,
}

_UNREADABLE: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "template.docx": (lambda: packaged("python-docx", "templates/default.docx"), "NO_TEXT"),
    "template.pptx": (lambda: packaged("python-pptx", "templates/default.pptx"), "NO_TEXT"),
    "wide-licence.txt": (lambda: licence("matplotlib").encode("utf-16"), "NOT_UTF8"),
    "figure.html": (lambda: packaged("matplotlib", "all_figures.html"), "NO_TEXT"),
    "icon.pdf": (lambda: packaged("matplotlib", "images/home.pdf"), "NO_TEXT"),
    "locked.pdf": (lambda: pdf("Nobody may read it.", password="secret"), "ENCRYPTED_DOCUMENT"),
    "cut.xlsx": (lambda: xlsx_file({"A": [["x"]]})[:-400], "CORRUPT_DOCUMENT"),
    "picture.pdf": (picture_pdf, "NO_TEXT"),
}


def readable() -> dict[str, bytes]:
    """Return documents that have text, by file name."""
    return {name: made() for name, made in _READABLE.items()}


def unreadable() -> dict[str, tuple[bytes, str]]:
    """Return documents that give no text, by file name, each with the reason that is to be told."""
    return {name: (made(), reason) for name, (made, reason) in _UNREADABLE.items()}
