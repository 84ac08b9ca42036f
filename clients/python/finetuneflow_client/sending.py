"""Documents and archives of them up, one after the other; what the server refuses does not stop the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from finetuneflow_client.errors import FtfError
from finetuneflow_client.picking import ARCHIVE, Picked
from finetuneflow_client.uploads import Progress, upload_archive, upload_file

if TYPE_CHECKING:
    from finetuneflow.ingest.v1 import file_pb2, ingest_service_pb2
    from finetuneflow_client.client import Services

_NO_DOCUMENTS = {"HIDDEN_ENTRY": "hidden", "UNSUPPORTED_FILE_TYPE": "not a type that is read"}


@dataclass(frozen=True)
class Sent:
    """What came of sending one document or archive.

    Args:
        files: the files that there are now, whose reading is queued.
        refused: why the server did not take it, or members of it.
        skipped: (path, why) of members that are no documents.
    """

    files: list[file_pb2.File] = field(default_factory=list)
    refused: list[FtfError] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


async def send(
    flow: Services, project: str, picked: Picked, begun: Callable[[Path], Progress | None]
) -> AsyncIterator[Sent]:
    """Send documents in their order, and yield what came of each.

    Args:
        flow: the connection.
        project: projects/{project}
        picked: of pick().
        begun: given the path that comes next, returns what is told how far it is.

    Raises:
        FtfError: what concerns all of them: the project is not there, the server's disk is full, …
    """
    for path in picked.documents:
        progress = begun(path)
        try:
            if path.suffix.lower() == ARCHIVE:
                answer = await upload_archive(flow, project, path, progress)
                sent = Sent(list(answer.files))
                _sort(path.name, answer.entries, sent)
            else:
                sent = Sent([await upload_file(flow, project, path, progress, picked.inside.get(path, ""))])
        except FtfError as error:
            if error.code not in ("INVALID_ARGUMENT", "UNIMPLEMENTED") and error.reason != "EXTRACTION_LIMIT":
                raise
            message = error.message if path.name in error.message else f"{path.name}: {error.message}"
            sent = Sent(refused=[FtfError(message, error.remedy, code=error.code, reason=error.reason)])
        yield sent


def _sort(archive: str, entries: Iterable[ingest_service_pb2.ArchiveEntry], sent: Sent) -> None:
    """Tell members that are no documents from those that should have been."""
    for entry in entries:
        name = f"{archive}/{entry.path}"
        if entry.reason in _NO_DOCUMENTS:
            sent.skipped.append((name, _NO_DOCUMENTS[entry.reason]))
        elif entry.reason:
            sent.refused.append(FtfError(f"{name}: {entry.message}", "", code="INVALID_ARGUMENT", reason=entry.reason))
