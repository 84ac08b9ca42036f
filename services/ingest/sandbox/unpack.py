"""Unpacking an archive: each member that may become a document into a file of its own, and a list of all of them."""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

from services.ingest.core.members import Member, Refused, judged, shown
from services.ingest.sandbox.archive import MAX_ENTRIES, MAX_UNPACKED, bomb, directory, too_tight
from services.ingest.sandbox.job import Job, Progress

_BLOCK = 1 << 20
_ENCRYPTED = 0x1
_DAMAGED = Refused("CORRUPT_DOCUMENT", "It is damaged inside the archive. Pack it again.")


def unpack(job: Job, progress: Progress) -> dict[str, Any]:
    """Write member n to the file "{target}.n", and to the target a line of JSON for each member in order.

    Folders are no members. What is written under no condition is a path of the archive's own.

    Raises:
        InvalidArgument: CORRUPT_DOCUMENT: the archive cannot be read at all.
        Exhausted: EXTRACTION_LIMIT: more than 10,000 members, or more than 512 MiB unpacked.
    """
    source = Path(job.source)
    entries = [entry for entry in directory(source) if not entry.is_dir()]
    if len(entries) > MAX_ENTRIES:
        raise bomb(f"holds {len(entries):,} files", f"{MAX_ENTRIES:,}")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_UNPACKED:
        raise bomb(f"would unpack to {total >> 20:,} MiB", f"{MAX_UNPACKED >> 20} MiB")
    with zipfile.ZipFile(source) as archive, Path(job.target).open("w", encoding="utf-8") as out:
        for number, entry in enumerate(entries):
            out.write(json.dumps(_member(archive, entry, Path(f"{job.target}.{number}"), job.most_bytes)) + "\n")
            progress("unpack", number + 1, len(entries), "files")
    return {"members": len(entries)}


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most_bytes: int) -> dict[str, Any]:
    member = Member(
        path=entry.filename,
        size=entry.file_size,
        mode=entry.external_attr >> 16,
        encrypted=bool(entry.flag_bits & _ENCRYPTED),
        tight=too_tight(entry),
    )
    refused = judged(member, most_bytes)
    sha256 = ""
    if refused is None:
        try:
            sha256 = _written(archive, entry, target)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            EOFError,
            zlib.error,
            ValueError,
            lzma.LZMAError,
        ):
            target.unlink(missing_ok=True)
            refused = _DAMAGED
        except OSError as error:
            if error.errno is not None:  # a trouble of the disk, not of the member
                raise
            target.unlink(missing_ok=True)
            refused = _DAMAGED
    return {
        "path": shown(entry.filename),
        "size": entry.file_size,
        "sha256": sha256,
        "reason": refused.reason if refused else "",
        "message": refused.message if refused else "",
    }


def _written(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> str:
    """Write a member's bytes, as many as announced; return their SHA-256."""
    digest = hashlib.sha256()
    with archive.open(entry) as packed, target.open("wb") as out:
        while block := packed.read(_BLOCK):
            digest.update(block)
            out.write(block)
    return digest.hexdigest()
