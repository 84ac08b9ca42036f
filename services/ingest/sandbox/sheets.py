"""Workbooks (XLSX, ODS): sheet by sheet, tables as Markdown; calamine first, for XLSX openpyxl where it fails.

Values are those that the program stored: formulas are never computed.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from services.ingest.core.document import Where
from services.ingest.core.extraction import Extraction, corrupt, no_text
from services.ingest.core.filenames import ODS
from services.ingest.core.gridtable import Row, regions, trimmed, write_region
from services.ingest.core.normal import clean, one_line
from services.ingest.core.writer import DocumentWriter, Segment
from services.ingest.sandbox.archive import check_archive
from services.ingest.sandbox.fallback import first_or_second
from services.ingest.sandbox.job import Progress
from services.ingest.sandbox.office import check_office

_BARE = re.compile(rb"<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>|</c>)")
_MIDNIGHT = datetime.time()


@dataclass(frozen=True)
class Sheet:
    """A sheet of a workbook.

    Args:
        name: its name.
        hidden: whether people do not see it.
        rows: numbers from 1, and texts of all cells from column A on.
    """

    name: str
    hidden: bool
    rows: Iterable[tuple[int, Sequence[str]]]


def read_sheets(path: Path, mime_type: str, reader: str, progress: Progress) -> Extraction:
    """Return the text of a workbook; each row of its tables knows its cells.

    Args:
        reader: "openpyxl" to leave calamine out.

    Raises:
        InvalidArgument: ENCRYPTED_DOCUMENT, CORRUPT_DOCUMENT or NO_TEXT.
        Exhausted: EXTRACTION_LIMIT: the archive would unpack to too much.
    """
    if mime_type == ODS:
        check_archive(path)
        return _by_calamine(path, progress)
    check_office(path, "Excel")
    if reader == "openpyxl":
        return _by_openpyxl(path, progress)
    return first_or_second(lambda: _by_calamine(path, progress), lambda: _by_openpyxl(path, progress), calamine_name())


def calamine_name() -> str:
    """Return the name and version of calamine."""
    return f"python-calamine {importlib.metadata.version('python-calamine')}"


def _by_calamine(path: Path, progress: Progress) -> Extraction:
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            return _written(path, calamine_name(), list(_calamine_sheets(book)), progress)
    except CalamineError as error:
        raise corrupt("is not a whole workbook") from error


def _calamine_sheets(book: CalamineWorkbook) -> Iterator[Sheet]:
    for number, about in enumerate(book.sheets_metadata):
        if about.typ == SheetTypeEnum.WorkSheet:
            yield Sheet(about.name, about.visible != SheetVisibleEnum.Visible, _calamine_rows(book, number))


def _calamine_rows(book: CalamineWorkbook, number: int) -> Iterator[tuple[int, Sequence[str]]]:
    sheet = book.get_sheet_by_index(number)
    if sheet.start is None:
        return
    # iter_rows begins with row 1, but with the first column that is used.
    before = [""] * sheet.start[1]
    for row, cells in enumerate(sheet.iter_rows(), start=1):
        yield row, [*before, *map(_shown, cells)]


def _by_openpyxl(path: Path, progress: Progress) -> Extraction:
    import openpyxl

    # By name it would refuse a file that is not called .xlsx.
    with path.open("rb") as file:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            sheets = [
                Sheet(sheet.title, sheet.sheet_state != "visible", _openpyxl_rows(sheet)) for sheet in book.worksheets
            ]
            return _written(path, f"openpyxl {openpyxl.__version__}", sheets, progress)
        finally:
            book.close()


def _openpyxl_rows(sheet: Any) -> Iterator[tuple[int, Sequence[str]]]:
    for row, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        yield row, [_shown(cell) for cell in cells]


def _written(path: Path, extractor: str, sheets: Sequence[Sheet], progress: Progress) -> Extraction:
    writer = DocumentWriter()
    dropped: Counter[str] = Counter()
    went = 0
    for number, sheet in enumerate(sheets, start=1):
        rows = (row for index, cells in sheet.rows if (row := trimmed(index, cells)))
        if sheet.hidden:
            dropped["HIDDEN_SHEET"] += sum(_filled(row) for row in rows)
        else:
            went += _sheet(writer, sheet.name, rows)
        progress("extract", number, len(sheets), "sheets")
    dropped["FORMULA_WITHOUT_VALUE"] = _bare_formulas(path)
    if not went:
        raise no_text("has no text in the cells that are shown")
    dropped = +dropped
    return Extraction(writer.document(), extractor, 0, "cells", went + dropped.total(), went, dict(dropped))


def _sheet(writer: DocumentWriter, name: str, rows: Iterator[Row]) -> int:
    """Write a sheet with its name as the heading; return how many cells have something in them."""
    cells = 0
    for region in regions(rows):
        if not cells:
            writer.heading(1, [Segment(one_line(clean(name)) or "(no name)", where=Where(sheet=name))])
        write_region(writer, region, name)
        cells += sum(map(_filled, region))
    return cells


def _filled(row: Row) -> int:
    return sum(1 for cell in row.cells if cell.strip())


def _shown(value: Any) -> str:
    """Return a stored value as text: whole numbers without a point, days without midnight."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == _MIDNIGHT else value.isoformat(" ")
    return str(value)


def _bare_formulas(path: Path) -> int:
    """Return how many cells of an XLSX hold a formula and no value, because no program has computed it yet."""
    found = 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.startswith("xl/worksheets/sheet"):
                found += sum(1 for _ in _BARE.finditer(archive.read(entry)))
    return found
