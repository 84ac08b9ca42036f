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
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
EPUB = "application/epub+zip"
RTF = "application/rtf"
HTML = "text/html"
CSV = "text/csv"
TSV = "text/tab-separated-values"
JSON = "application/json"
JSONL = "application/jsonl"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
ZIP = "application/zip"
OLE = "application/x-ole-storage"
BINARY = "application/octet-stream"

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        ".pdf": PDF,
        ".docx": DOCX,
        ".pptx": PPTX,
        ".xlsx": XLSX,
        ".odt": ODT,
        ".ods": ODS,
        ".epub": EPUB,
        ".rtf": RTF,
        ".html": HTML,
        ".htm": HTML,
        ".xhtml": HTML,
        ".csv": CSV,
        ".tsv": TSV,
        ".json": JSON,
        ".jsonl": JSONL,
        ".ndjson": JSONL,
        ".md": MARKDOWN,
        ".markdown": MARKDOWN,
        ".txt": PLAIN,
        ".text": PLAIN,
        ".rst": PLAIN,
    }
)
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".jar", ".whl"})
"""Extensions of archives, which cannot be read as a document."""

_OFFICE = frozenset({DOCX, PPTX, XLSX})
OFFICE = frozenset({*_OFFICE, ODT, ODS, EPUB})
"""Kinds of documents that come in a zip archive."""

_TEXTS = frozenset({HTML, CSV, TSV, JSON, JSONL, MARKDOWN, PLAIN})
_KINDS = "PDF, DOCX, PPTX, XLSX, ODT, ODS, RTF, EPUB, HTML, CSV, TSV, JSON, JSONL, Markdown or text"

_OLE_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
_MAGIC = (
    (_OLE_MAGIC, OLE),
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x7fELF", "application/x-elf"),
    (b"{\\rtf", RTF),
)


def check_filename(name: str) -> str:
    """Return a file name that is safe to keep and to show.

    Raises:
        InvalidArgument: BAD_FILE_NAME for an empty name, a path, control characters or more than 255 bytes;
            UNSUPPORTED_FILE_TYPE for an extension that is not one of EXTENSIONS.
    """
    wrong = name_problem(name)
    if wrong:
        raise wrong
    if extension(name) not in EXTENSIONS:
        raise InvalidArgument(
            f"{name!r} is of a type that cannot be read. Send {_KINDS}.",
            reason="UNSUPPORTED_FILE_TYPE",
            metadata={"extensions": " ".join(EXTENSIONS)},
            field="header.filename",
        )
    return name


def name_problem(name: str) -> InvalidArgument | None:
    """Return the error (BAD_FILE_NAME) for a name that no file may have, whatever its type, or None."""
    problem = _problem(name)
    if not problem:
        return None
    return InvalidArgument(
        f"The file name {name[:100]!r} {problem}. Rename the file.", reason="BAD_FILE_NAME", field="header.filename"
    )


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
        return _zipped(head, name)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    # UTF-16 has NUL bytes too; what it is gets said when the text is read.
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return BINARY
    wanted = EXTENSIONS.get(extension(name), PLAIN)
    return wanted if wanted in _TEXTS else PLAIN


def _zipped(head: bytes, name: str) -> str:
    """Return what a zip archive is: EPUB and OpenDocument say it first; of the others the reader looks inside."""
    if head[30:38] == b"mimetype":
        said = head[38:].lstrip()
        for kind in (EPUB, ODT, ODS):
            if said.startswith(kind.encode() + b"PK"):
                return kind
    wanted = EXTENSIONS.get(extension(name), ZIP)
    return wanted if wanted in OFFICE else ZIP


def expected(name: str) -> str:
    """Return the MIME type that a checked file name promises."""
    return EXTENSIONS[extension(name)]


def mismatch(mime_type: str, name: str) -> InvalidArgument | None:
    """Return the error for a file whose bytes are not what its name says, or None if they agree."""
    wanted = expected(name)
    if mime_type == wanted:
        return None
    if wanted in _OFFICE and mime_type == OLE:
        return None  # an encrypted document is such a container; the reader tells it from one of the old format
    kind = extension(name)[1:].upper()
    found = "is not a known kind of document" if mime_type == BINARY else f"is {mime_type}"
    return InvalidArgument(
        f"{name!r} is named as {kind}, but its content {found}. Save it again as {kind}, or name it by what it is.",
        reason="CORRUPT_DOCUMENT",
        metadata={"expected": wanted, "found": mime_type},
    )
