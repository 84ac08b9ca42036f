"""PDF lines that are read by few of their characters are read as if each word had been looked at; several processes
read as one does."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pypdfium2
import pytest

from services.common.confined.cold import child_environment
from services.common.confined.limits import Limits
from services.common.errors import Exhausted
from services.ingest.child import Sandbox
from services.ingest.core.filenames import PDF
from services.ingest.sandbox.job import Job
from services.ingest.sandbox.pdf import read_pdf
from services.ingest.sandbox.pdffaces import Characters, Faces
from services.ingest.sandbox.pdflines import Lines
from services.ingest.sandbox.pdfpages import PdfPages
from services.ingest.sandbox.pdfruns import Growing, Runs
from services.ingest.sandbox.pdfshares import LEAST_PAGES, Shares
from services.ingest.sandbox.pdfwords import Words
from tests.fakes.big_pdf import big_pdf
from tests.fakes.documents import PROSE, pdf
from tests.fakes.pdf_lines import LINES, pages_of


def both_ways(data: bytes) -> tuple[list[Growing], list[Growing]]:
    """Return a page's runs, read by lines and word by word."""
    document = pypdfium2.PdfDocument(data)
    text = document[0].get_textpage()
    by_lines, by_words = Runs(), Runs()
    count = text.count_chars()
    Lines(Characters(text.raw, Faces()), by_lines).read(count)
    chars = Characters(text.raw, Faces())
    words, place = Words(chars, by_words), 0
    for line in (chars.text(count) or "").split("\r\n"):
        by_words.end_line()
        words.read(place, line)
        place += len(line) + 2
    document.close()
    return by_lines.found, by_words.found


def told(run: Growing) -> tuple[object, ...]:
    """Return what a run says, and where it stands to a tenth of a point."""
    return "".join(run.text).strip(), run.turns, run.size, run.bold, run.mono, *(round(side, 1) for side in run.box)


@pytest.mark.parametrize("name", LINES)
def test_a_line_gives_what_its_words_give(name: str) -> None:
    """Texts, places and faces are the same, whatever the line is like."""
    by_lines, by_words = both_ways(pages_of(LINES[name]))

    assert list(map(told, by_lines)) == list(map(told, by_words))


def samples() -> bytes:
    """Return the sample documents as one, again and again."""
    found = pypdfium2.PdfDocument.new()
    while len(found) < 70:
        for path in sorted(Path("samples/documents").glob("*.pdf")):
            with pypdfium2.PdfDocument(path) as document:
                found.import_pages(document)
    out = io.BytesIO()
    found.save(out)
    found.close()
    return out.getvalue()


def manual() -> bytes:
    """Return a document with headings, lists, words that are divided at line ends, and a running head."""
    more = [f"## More of it\n\n{PROSE[n:]}well-\n\n- oil\n\n- water" for n in range(70)]
    return pdf(*(f"# Part\n\n{PROSE * 3}\n\n{text}" for text in more), header="Tarnfield Instruments")


def odd_lines() -> bytes:
    """Return a document of lines out of the ordinary, turned ones among them, and blank pages."""
    plain = LINES["prose"]
    return pages_of(*[line for kind in LINES.values() for line in (plain, kind, "")] * 3, *[plain] * 30)


@pytest.mark.parametrize(
    "made", [partial(big_pdf, 150, 5), samples, manual, odd_lines], ids=["full pages", "samples", "manual", "odd lines"]
)
def test_several_processes_read_what_one_reads(tmp_path: Path, made: Callable[[], bytes]) -> None:
    """Pages come in order and whole, with their headings and running heads, and with progress up to the last."""
    (tmp_path / "a.pdf").write_bytes(made())
    heard: list[int] = []
    before = psutil.Process().children()

    alone = read_pdf(tmp_path / "a.pdf", "", lambda *_: None)
    together = read_pdf(tmp_path / "a.pdf", "", lambda phase, done, *_: heard.append(done), processes=3)

    assert alone.pages >= LEAST_PAGES
    assert together == alone
    assert heard == list(range(alone.pages + 1))  # 0: pdf_oxide opens the document
    assert set(psutil.Process().children()) <= set(before)


def test_what_helpers_cannot_do_one_process_does(tmp_path: Path) -> None:
    """Helpers that end early, such as for want of memory, take no page with them."""
    (tmp_path / "a.pdf").write_bytes(big_pdf(80, 5))

    document = PdfPages(tmp_path / "a.pdf", plain=True)
    with contextlib.closing(document), contextlib.closing(Shares(document, tmp_path / "none.pdf", 3)) as shares:
        found = [page[0].number for page in shares.sketches() if page]
        parts = list(shares.parts(found, {}))

    assert found == list(range(1, 81))
    assert len(parts) == 80


@pytest.mark.parametrize("room", [0, 1])
def test_fewer_helpers_do_as_well(tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has no room for so many processes, those that there are read the document."""
    (tmp_path / "a.pdf").write_bytes(big_pdf(80, 5))
    forks = iter([os.fork] * room)

    def fork() -> int:
        try:
            return next(forks)()
        except StopIteration:
            raise BlockingIOError(11, "Resource temporarily unavailable") from None

    alone = read_pdf(tmp_path / "a.pdf", "", lambda *_: None)
    monkeypatch.setattr(os, "fork", fork)

    assert read_pdf(tmp_path / "a.pdf", "", lambda *_: None, processes=3) == alone


async def test_all_processes_of_a_document_keep_to_its_limits_together(tmp_path: Path) -> None:
    """None of them takes a second of processor time by itself, and all together may not either."""
    (tmp_path / "a.pdf").write_bytes(big_pdf(2_400, 45))
    limits = Limits(cpu_seconds=1)
    job = Job("extract", str(tmp_path / "a.pdf"), str(tmp_path / "target"), limits, "a.pdf", PDF, processes=6)
    sandbox = Sandbox(child_environment(os.environ))

    with pytest.raises(Exhausted) as refused:
        await sandbox.run(job, silence)
    await sandbox.close()

    assert refused.value.reason == "EXTRACTION_LIMIT"
    assert "processor time" in str(refused.value)


async def silence(phase: str, done: int, total: int, unit: str) -> None:
    """Hear nothing."""


async def test_a_helper_that_crashes_is_a_crash_of_the_reader(tmp_path: Path) -> None:
    """The second reader reads the document, and the record says why."""
    (tmp_path / "a.pdf").write_bytes(big_pdf(400, 20))
    job = Job(
        "extract", str(tmp_path / "a.pdf"), str(tmp_path / "target"), Limits(), "a.pdf", PDF, "pypdfium2", processes=2
    )
    sandbox = Sandbox(child_environment(os.environ))

    async def crash(phase: str, done: int, total: int, unit: str) -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                for helper in process.children() if process.parent() != psutil.Process() else ():
                    helper.send_signal(11)

    found = await sandbox.run(job, crash)
    await sandbox.close()

    assert str(found["extractor"]).startswith("pypdf ")
    assert (found["pages"], found["left_because"]) == (400, "SIGSEGV")
