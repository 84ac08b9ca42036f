"""What Word, PowerPoint and Excel documents have in common: their archive, and the container of encrypted ones."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from services.ingest.core.extraction import corrupt, encrypted
from services.ingest.sandbox.archive import check_archive

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_HEAD = 1 << 20
_TYPES = "[Content_Types].xml"
_MAIN = {"wordprocessingml.": "Word", "presentationml.": "PowerPoint", "spreadsheetml.": "Excel"}
_PART = re.compile(
    rb"ContentType\s*=\s*[\"'][^\"']*?(wordprocessingml\.|presentationml\.|spreadsheetml\.)[^\"']*?main\+xml"
)


def check_office(path: Path, program: str) -> None:
    """Refuse what is no whole document of an Office program.

    Args:
        program: "Word", "PowerPoint" or "Excel".

    Raises:
        InvalidArgument: ENCRYPTED_DOCUMENT or CORRUPT_DOCUMENT.
        Exhausted: EXTRACTION_LIMIT: the archive would unpack to too much.
    """
    _refuse_ole(path, program)
    if _TYPES not in check_archive(path):
        raise corrupt(f"is an archive, but no {program} document")
    try:
        with zipfile.ZipFile(path) as archive:
            found = {part[1].decode() for part in _PART.finditer(archive.read(_TYPES))}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise corrupt("is a damaged archive, or its end is missing") from error
    kinds = {_MAIN[part] for part in found}
    if kinds and program not in kinds:
        raise corrupt(f"is of {' and '.join(sorted(kinds))}, not of {program} as its name says")


def _refuse_ole(path: Path, program: str) -> None:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.startswith(_OLE):
        return
    if _ENCRYPTED_PACKAGE in head or _ENCRYPTED_PACKAGE in path.read_bytes():
        raise encrypted()
    old = {"Word": ".doc", "PowerPoint": ".ppt", "Excel": ".xls"}[program]
    raise corrupt(f"is of {program}'s old format ({old})")
