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


def check_archive(path: Path) -> None:
    """Refuse an archive that would unpack to too much, is damaged, or is no Office document.

    Sizes are those that the directory announces; zipfile reads no entry past its announced size.

    Raises:
        Exhausted: EXTRACTION_LIMIT: too many entries, too large unpacked, or packed too tightly.
        InvalidArgument: CORRUPT_DOCUMENT or ENCRYPTED_DOCUMENT.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise corrupt("is a damaged archive, or its end is missing") from error
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise encrypted()
    if len(entries) > MAX_ENTRIES:
        raise _bomb(f"holds {len(entries):,} files", f"{MAX_ENTRIES:,}")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise _bomb(f"would unpack to {unpacked >> 20:,} MiB", f"{MAX_UNPACKED >> 20} MiB")
    xml = sum(entry.file_size for entry in entries if entry.filename.endswith((".xml", ".rels")))
    if xml > MAX_XML:
        raise _bomb(f"holds {xml >> 20:,} MiB of XML", f"{MAX_XML >> 20} MiB")
    for entry in entries:
        if entry.file_size > max(_SMALL, MAX_RATIO * entry.compress_size):
            raise _bomb(
                f"has a part packed {entry.file_size // max(entry.compress_size, 1):,} to 1", f"{MAX_RATIO} to 1"
            )
    if "[Content_Types].xml" not in {entry.filename for entry in entries}:
        raise corrupt("is an archive, but no Word document")


def _bomb(what: str, limit: str) -> Exhausted:
    return Exhausted(
        f"The document {what}; {limit} is the limit. Save it again from Word, or split it.",
        reason="EXTRACTION_LIMIT",
        metadata={"limit": limit},
    )
