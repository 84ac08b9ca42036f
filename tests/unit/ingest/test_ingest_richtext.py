"""RTF: headings and tables are found by their control words, and all other text stays what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.ingest.core.document import ExtractedDocument
from services.ingest.sandbox.richtext import read_rich_text

STYLES = r"{\stylesheet{\s0 Normal;}{\s1\sb240\b\fs32 heading 1;}{\s2 Heading 2;}}"


def read(folder: Path, body: str) -> ExtractedDocument:
    """Return what an RTF with some styles gives."""
    path = folder / "a.rtf"
    path.write_text("{" + rf"\rtf1\ansi{STYLES}{body}" + "}", encoding="latin-1")
    return read_rich_text(path, lambda *_: None).document


def test_headings_are_known_by_style_and_by_outline_level(tmp_path: Path) -> None:
    """Up to the paragraph's end; \\pard ends it, too."""
    found = read(tmp_path, r"\pard\s1 Pumps\par\pard They stand.\par{\pard\outlinelevel1 Left\par}\pard They are dry.")

    assert found.text == "# Pumps\n\nThey stand.\n\n## Left\n\nThey are dry."
    assert [heading.title for heading in found.headings] == ["Pumps", "Left"]


@pytest.mark.parametrize(("word", "heading"), [(r"\binfsxn1\binsxn1", "# "), (r"{\pict\bin2 ab}", "")])
def test_only_bytes_as_they_are_switch_headings_off(tmp_path: Path, word: str, heading: str) -> None:
    """The paper trays of Word's sections begin with the same letters."""
    found = read(tmp_path, rf"\sectd{word}\pard\s1 Pumps\par\pard They stand.")

    assert found.text == f"{heading}Pumps\n\nThey stand."


def test_rows_become_one_table(tmp_path: Path) -> None:
    """Paragraphs of a cell are one text; what follows the table is none of it."""
    row = r"\trowd\cellx1\cellx2\pard\intbl %s\cell %s\cell\row "
    body = row % ("Pump", "Litres") + row % (r"Kestrel\par 40", "1|2") + r"\pard\par Below."
    found = read(tmp_path, r"Above.\par " + body)

    assert found.text == "Above.\n\n| Pump | Litres |\n| --- | --- |\n| Kestrel 40 | 1\\|2 |\n\nBelow."
    assert [block.kind for block in found.blocks] == ["paragraph", "table", "paragraph"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"The C:\\cell and the C:\\s1 are paths.", r"The C:\cell and the C:\s1 are paths."),
        (r"A row \trowd that never ends \cell here", "A row\n\nthat never ends  here"),
        (r"# no heading\par a | b", "\\# no heading\n\na | b"),
    ],
    ids=["backslashes", "a row without an end", "marks of Markdown"],
)
def test_text_that_looks_like_control_words_stays(tmp_path: Path, body: str, text: str) -> None:
    """Nothing is lost, and nothing of the marks comes out."""
    found = read(tmp_path, body)

    assert found.text == text
    assert not any("\ufdd0" <= char <= "\ufdef" for char in found.text)
