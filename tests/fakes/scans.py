"""Scanned documents, and a stand-in for the program that reads them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pypdfium2
from fpdf import FPDF

from tests.fakes.documents import pdf

WORDS = "The Kestrel pump moves coolant"

_PROGRAM = f"""#!{sys.executable}
import os, sys
if "--version" in sys.argv:
    print("tesseract 9.8.7")
    sys.exit()
data = open(sys.argv[1], "rb").read()
head, rest = data.split(b"\\n", 1)
kind, width, height, most = head.split()
assert (kind, most, len(rest)) == (b"P5", b"255", int(width) * int(height)), head
print("level\\tpage_num\\tblock_num\\tpar_num\\tline_num\\tword_num\\tleft\\ttop\\twidth\\theight\\tconf\\ttext")
print("1\\t1\\t0\\t0\\t0\\t0\\t0\\t0\\t" + width.decode() + "\\t" + height.decode() + "\\t-1\\t")
if min(rest) < 64:
    for number, word in enumerate({WORDS!r}.split(), start=1):
        print("5\\t1\\t1\\t1\\t1\\t%d\\t%d\\t300\\t150\\t50\\t96.5\\t%s" % (number, 100 + 160 * number, word))
    print("5\\t1\\t1\\t1\\t1\\t99\\t900\\t300\\t150\\t50\\t3.1\\t~~")
"""


def stand_in(folder: Path) -> Path:
    """Write a program that answers as tesseract does: WORDS for every picture with ink on it, a doubtful word too."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "tesseract"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    return program


def scanned_pdf(*pages: str) -> bytes:
    """Return a PDF of pictures of pages; "" is a blank page's picture."""
    out = FPDF()
    for text in pages:
        page = pypdfium2.PdfDocument(pdf(text or " ", size=14))[0]
        picture = io.BytesIO()
        page.render(scale=200 / 72, grayscale=True).to_pil().save(picture, "PNG")
        out.add_page()
        picture.seek(0)
        out.image(picture, x=0, y=0, w=out.w)
    return bytes(out.output())
