"""Which members of an archive become documents, decided by what its directory says of each."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from services.common.errors import FineTuneFlowError
from services.ingest.core.filenames import ARCHIVES, check_filename, extension
from services.ingest.core.normal import clean, one_line

MAX_PATH = 1_024
_SYSTEM = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Member:
    """A member of an archive, as its directory describes it.

    Args:
        path: with "/" between folders.
        size: unpacked, in bytes, as announced.
        mode: of Unix, 0 if the archive was made elsewhere.
        encrypted: whether it wants a password.
        tight: whether it is packed as tightly as only bombs are.
    """

    path: str
    size: int
    mode: int
    encrypted: bool
    tight: bool


@dataclass(frozen=True)
class Refused:
    """Why a member does not become a file.

    Args:
        reason: a Reason without its prefix.
        message: for people, with the remedy.
    """

    reason: str
    message: str


def shown(path: str) -> str:
    """Return a path as it is shown and kept: one line without control characters, at most 1,024 characters."""
    return one_line(clean(path))[:MAX_PATH]


def last_part(path: str) -> str:
    """Return the file name at a path's end."""
    return path.rpartition("/")[2]


def judged(member: Member, most_bytes: int) -> Refused | None:
    """Return why a member is refused, or None if it may be unpacked. most_bytes: largest file."""
    name = last_part(member.path)
    for wrong in (_by_path(member), _by_kind(member, name), _by_size(member, most_bytes)):
        if wrong:
            return wrong
    try:
        check_filename(name)
    except FineTuneFlowError as error:
        return Refused(error.reason, str(error))
    return None


def _by_path(member: Member) -> Refused | None:
    folders = member.path.split("/")
    drive = len(folders[0]) == 2 and folders[0][1] == ":"
    if member.path.startswith("/") or "\\" in member.path or ".." in folders or drive:
        return Refused("UNSAFE_PATH", "Its path leads out of the archive. Pack it again under a plain name.")
    if any(part.startswith(".") or part.lower() in _SYSTEM for part in folders if part):
        return Refused("HIDDEN_ENTRY", "It is hidden, or a file of the system's. Rename it if it is a document.")
    return None


def _by_kind(member: Member, name: str) -> Refused | None:
    kind = stat.S_IFMT(member.mode)
    if kind and kind != stat.S_IFREG:
        return Refused("LINK_ENTRY", "It is a link or a device, not a file. Pack the file that it stands for.")
    if extension(name) in ARCHIVES:
        return Refused("NESTED_ARCHIVE", "It is an archive inside an archive. Unpack it, or upload it alone.")
    if member.encrypted:
        return Refused("ENCRYPTED_DOCUMENT", "It is encrypted. Pack it again without a password.")
    return None


def _by_size(member: Member, most_bytes: int) -> Refused | None:
    if not member.size:
        return Refused("EMPTY_FILE", "It is empty. Send one with text in it.")
    if member.size > most_bytes:
        return Refused("FILE_TOO_LARGE", f"It has {member.size:,} bytes; {most_bytes:,} is the limit. Split it.")
    if member.tight:
        return Refused("EXTRACTION_LIMIT", "It is packed more tightly than documents are. Upload it alone.")
    return None
