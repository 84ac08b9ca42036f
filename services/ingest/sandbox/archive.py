"""Archives: what may be unpacked, decided by the directory before anything is."""

from __future__ import annotations

import zipfile
from pathlib import Path

from services.common.errors import Exhausted
from services.ingest.core.extraction import corrupt, encrypted

MAX_ENTRIES = 10_000
MAX_UNPACKED = 512 * 1024 * 1024
MAX_XML = 128 * 1024 * 1024
MAX_RATIO = 200
_SMALL = 4 * 1024 * 1024
"""Entries below this unpacked size may be packed at any ratio: blank pictures are."""

_ENCRYPTED = 0x1
_TEXT = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx")


def check_archive(path: Path) -> frozenset[str]:
    """Refuse an archive that would unpack to too much or is damaged; return the names of its entries.

    Sizes are those that the directory announces; zipfile reads no entry past its announced size.

    Raises:
        Exhausted: EXTRACTION_LIMIT: too many entries, too large unpacked, or packed too tightly.
        InvalidArgument: CORRUPT_DOCUMENT or ENCRYPTED_DOCUMENT.
    """
    entries = directory(path)
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise encrypted()
    if len(entries) > MAX_ENTRIES:
        raise bomb(f"holds {len(entries):,} files", f"{MAX_ENTRIES:,}")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise bomb(f"would unpack to {unpacked >> 20:,} MiB", f"{MAX_UNPACKED >> 20} MiB")
    xml = sum(entry.file_size for entry in entries if entry.filename.endswith(_TEXT))
    if xml > MAX_XML:
        raise bomb(f"holds {xml >> 20:,} MiB of XML", f"{MAX_XML >> 20} MiB")
    for entry in entries:
        if too_tight(entry):
            ratio = entry.file_size // max(entry.compress_size, 1)
            raise bomb(f"has a part packed {ratio:,} to 1", f"{MAX_RATIO} to 1")
    return frozenset(entry.filename for entry in entries)


def directory(path: Path) -> list[zipfile.ZipInfo]:
    """Return an archive's entries.

    Raises:
        InvalidArgument: CORRUPT_DOCUMENT: its directory cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise corrupt("is a damaged archive, or its end is missing") from error


def too_tight(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is packed as tightly as only bombs are."""
    return entry.file_size > max(_SMALL, MAX_RATIO * entry.compress_size)


def bomb(what: str, limit: str) -> Exhausted:
    """Return the error for an archive over a limit. what: a clause that says how."""
    return Exhausted(
        f"The document {what}; {limit} is the limit. Save it again from its program, or split it.",
        reason="EXTRACTION_LIMIT",
        metadata={"limit": limit},
    )
