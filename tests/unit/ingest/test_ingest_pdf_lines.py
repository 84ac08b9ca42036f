"""PDF lines that are read by few of their characters are read as if each word had been looked at; several processes
read as one does."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pypdfium2
import pytest

from services.common.confined.cold import child_environment
from services.common.confined.limits import Limits
from services.ingest.child import Sandbox
from services.ingest.core.filenames import PDF
from services.ingest.sandbox.job import Job
from services.ingest.sandbox.pdf import read_pdf
from services.ingest.sandbox.pdffaces import Characters, Faces
from services.ingest.sandbox.pdflines import Lines
from services.ingest.sandbox.pdfruns import Growing, Runs
from services.ingest.sandbox.pdfwords import Words
from tests.fakes.big_pdf import big_pdf

FONTS = ("Helvetica", "Helvetica-Bold", "Courier", "Times-Roman")
LINES = {
    "prose": "(The pump stands on the left bank of the river and is oiled.) Tj",
    "a gap that divides": "[(The pump stands on the left bank) -1500 (and is oiled.)] TJ",
    "two columns of equal words": "[(pump) -2000 (bank) -2000 (well) -2000 (lock)] TJ",
    "wide gaps and narrow ones by turns": "[(a b) -1400 (c d) -1400 (e f) -1400 (g h) -1400 (i j)] TJ",
    "a justified line": "2.2 Tw (The pump stands on the left bank of the river and is oiled.) Tj",
    "a gap in a justified line": "2 Tw [(The pump stands on the left bank) -900 ( of the river, oiled daily.)] TJ",
    "spaced letters": "4 Tc (The pump stands) Tj",
    "letters far apart": "14 Tc (The pump stands) Tj",
    "condensed": "60 Tz (The pump stands on the left bank of the river.) Tj",
    "kerned": "[(T) 80 (he pum) 20 (p stands on t) 15 (he left bank of the rive) 40 (r.)] TJ",
    "a raised note": "(The pump) Tj /F3 6 Tf 4 Ts (12) Tj 0 Ts /F3 10 Tf ( stands.) Tj",
    "a bold word": "(The ) Tj /F1 10 Tf (pump) Tj /F3 10 Tf ( stands, ) Tj /F2 10 Tf (oil) Tj /F3 10 Tf (, too.) Tj",
    "many spaces": "(The      pump          stands) Tj",
    "spaces at the ends": "(   The pump stands   ) Tj",
    "back over itself": "[(The pump) 9000 (stands)] TJ",
    "a hyphen within": "(The pump-house of the well-known mill - a ruin) Tj",
    "code": "/F2 9 Tf (if \\(pump\\) { oil\\(\\); }   /* daily */) Tj",
    "one letter": "(A) Tj",
    "upside down": "-1 0 0 -1 400 500 Tm (The pump stands) Tj",
    "up the page": "0 1 -1 0 400 300 Tm (The pump stands) Tj",
}


def page_of(shown: str) -> bytes:
    """Return a PDF of one page that shows a line, and the next below it."""
    fonts = b" ".join(
        b"/F%d << /Type /Font /Subtype /Type1 /BaseFont /%s >>" % (n, f.encode()) for n, f in enumerate(FONTS)
    )
    stream = b"BT /F3 10 Tf 14 TL 72 700 Td %s T* 0 Tc 0 Tw 100 Tz (It is dry.) Tj ET" % shown.encode()
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << %s >> >> /Contents 4 0 R >>"
        % fonts,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    objects = b"".join(b"%d 0 obj\n%s\nendobj\n" % (n, body) for n, body in enumerate(bodies, 1))
    return b"%PDF-1.4\n" + objects + b"trailer << /Size 5 /Root 1 0 R >>\n%%EOF\n"


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
    by_lines, by_words = both_ways(page_of(LINES[name]))

    assert list(map(told, by_lines)) == list(map(told, by_words))


def test_several_processes_read_what_one_reads(tmp_path: Path) -> None:
    """Pages come in order and whole, with progress up to the last."""
    (tmp_path / "a.pdf").write_bytes(big_pdf(150, 5))
    heard: list[int] = []
    before = psutil.Process().children()

    alone = read_pdf(tmp_path / "a.pdf", "", lambda *_: None)
    together = read_pdf(tmp_path / "a.pdf", "", lambda phase, done, *_: heard.append(done), processes=3)

    assert together == alone
    assert heard == list(range(1, 151))
    assert psutil.Process().children() == before


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: one process reads")
async def test_a_helper_that_crashes_is_a_crash_of_the_reader(tmp_path: Path) -> None:
    """The second reader reads the document, and the record says why."""
    (tmp_path / "a.pdf").write_bytes(big_pdf(400, 20))
    job = Job("extract", str(tmp_path / "a.pdf"), str(tmp_path / "target"), Limits(), "a.pdf", PDF)
    sandbox = Sandbox(child_environment(os.environ))

    async def crash(phase: str, done: int, total: int, unit: str) -> None:
        for process in psutil.Process().children(recursive=True):
            for helper in process.children() if process.parent() != psutil.Process() else ():
                helper.send_signal(11)

    found = await sandbox.run(job, crash)
    await sandbox.close()

    assert str(found["extractor"]).startswith("pypdf ")
    assert (found["pages"], found["left_because"]) == (400, "SIGSEGV")
