"""What a file may be called, and what its first bytes say it is."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from services.common.errors import InvalidArgument

MAX_NAME_BYTES = 255
SNIFF_BYTES = 1024

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
ZIP = "application/zip"
OLE = "application/x-ole-storage"
BINARY = "application/octet-stream"

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {".pdf": PDF, ".docx": DOCX, ".txt": PLAIN, ".md": MARKDOWN, ".markdown": MARKDOWN}
)

_OLE_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
_MAGIC = (
    (_OLE_MAGIC, OLE),
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x7fELF", "application/x-elf"),
    (b"{\\rtf", "application/rtf"),
)


def check_filename(name: str) -> str:
    """Return a file name that is safe to keep and to show.

    Raises:
        InvalidArgument: BAD_FILE_NAME for an empty name, a path, control characters or more than 255 bytes;
            UNSUPPORTED_FILE_TYPE for an extension that is not .pdf, .docx, .txt, .md or .markdown.
    """
    problem = _problem(name)
    if problem:
        raise InvalidArgument(
            f"The file name {name[:100]!r} {problem}. Rename the file.", reason="BAD_FILE_NAME", field="header.filename"
        )
    if extension(name) not in EXTENSIONS:
        raise InvalidArgument(
            f"{name!r} is of a type that cannot be read. Send PDF, DOCX, TXT or Markdown (.md, .markdown).",
            reason="UNSUPPORTED_FILE_TYPE",
            metadata={"extensions": " ".join(EXTENSIONS)},
            field="header.filename",
        )
    return name


def extension(name: str) -> str:
    """Return the extension in lower case with its dot, or ""."""
    stem, dot, last = name.rpartition(".")
    return dot + last.lower() if stem else ""


def _problem(name: str) -> str:
    if not name.strip():
        return "is empty"
    if "/" in name or "\\" in name:
        return "has a path separator"
    if ".." in name:
        return 'has ".." in it'
    # Control characters, invisible direction marks and lone surrogates make a name look like another.
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name):
        return "has control or invisible characters in it"
    size = len(name.encode())
    return f"has {size} bytes; {MAX_NAME_BYTES} is the limit" if size > MAX_NAME_BYTES else ""


def sniff(head: bytes, name: str) -> str:
    """Return a MIME type by the first bytes; the name decides only between kinds of text.

    Args:
        head: the first SNIFF_BYTES of the file, or all of it.
        name: a checked file name.
    """
    # A PDF reader accepts up to 1,024 bytes of anything before the header.
    if b"%PDF-" in head:
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return DOCX if extension(name) == ".docx" else ZIP
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    # UTF-16 has NUL bytes too; what it is gets said when the text is read.
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return BINARY
    return MARKDOWN if extension(name) in (".md", ".markdown") else PLAIN


def expected(name: str) -> str:
    """Return the MIME type that a checked file name promises."""
    return EXTENSIONS[extension(name)]


def mismatch(mime_type: str, name: str) -> InvalidArgument | None:
    """Return the error for a file whose bytes are not what its name says, or None if they agree."""
    wanted = expected(name)
    if mime_type == wanted:
        return None
    if wanted == DOCX and mime_type == OLE:
        return None  # an encrypted DOCX is such a container; the reader tells it from an old .doc
    kind = extension(name)[1:].upper()
    found = "is not a known kind of document" if mime_type == BINARY else f"is {mime_type}"
    return InvalidArgument(
        f"{name!r} is named as {kind}, but its content {found}. Save it again as {kind}, or name it by what it is.",
        reason="CORRUPT_DOCUMENT",
        metadata={"expected": wanted, "found": mime_type},
    )
