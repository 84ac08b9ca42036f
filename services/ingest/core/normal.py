"""Characters of an extracted text: what is kept, what is replaced, what is left out."""

from __future__ import annotations

import re
import unicodedata

# C0 and C1 controls but tab and newline; soft hyphen; zero-width space, word joiner, byte-order mark; lone surrogates
# and non-characters, which are not text. Zero-width joiners stay: scripts and emoji need them.
_DROPPED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ud800-\udfff\ufffe\uffff]")
_NEWLINES = re.compile("\r\n|[\r\x85\u2028]")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_LEADER = re.compile(r"(?:\s?\.){5,}\s?")
_BLANKS = re.compile(r"[^\S\n]+")


def clean(text: str) -> str:
    """Return text with newlines as "\\n", without control characters, soft hyphens and invisible marks."""
    text = _NEWLINES.sub("\n", text).replace("\u2029", "\n\n").replace("\x0c", "\n\n")
    return _DROPPED.sub("", text)


def printed(text: str) -> str:
    """Return text taken from a page as it would be typed: ligatures apart, accents joined, rows of dots short."""
    plain = clean(text).translate(_LIGATURES).replace("\u00a0", " ")
    return unicodedata.normalize("NFC", _LEADER.sub(" … ", plain))


def one_line(text: str) -> str:
    """Return text with every run of white space as one space."""
    return " ".join(text.split())


def squeezed(text: str) -> str:
    """Return text with every run of blanks as one space, lines kept and trimmed."""
    return "\n".join(line.strip() for line in _BLANKS.sub(" ", text).split("\n"))


def table_cell(text: str) -> str:
    """Return text that fits into one cell of a Markdown table."""
    return one_line(text).replace("|", "\\|")


def markdown_table(rows: list[list[str]]) -> tuple[str, int]:
    """Return a Markdown table whose first row is its head, and the length of the head with its rule and newline.

    Args:
        rows: one or more rows of plain text; short rows are filled up with empty cells.
    """
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join(table_cell(cell) for cell in [*row, *[""] * (width - len(row))]) + " |" for row in rows]
    head = lines[0] + "\n|" + " --- |" * width + "\n"
    return head + "\n".join(lines[1:]), len(head)


def fenced(code: str) -> str:
    """Return code between fences that are longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{code}\n{fence}"
