"""Documents up: hashed first, then streamed, so that the server can tell a damaged transfer from a whole one.

What the server has of an upload is not sent again: all of a file that is there, and what is kept of one that broke off,
in this call or in an earlier program.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeVar

from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow.common.v1 import upload_pb2
    from finetuneflow.ingest.v1 import file_pb2
    from finetuneflow_client.client import Services

PART_BYTES = 512 << 10
_TRIES = 3
# A link slower than this is taken for one that hangs.
_SLOWEST_BYTES_PER_SECOND = 64 << 10

_UNPACK_SECONDS = 3_600.0

Progress = Callable[[int, int], None]
Answer = TypeVar("Answer")
Request = TypeVar("Request")


async def upload_file(
    flow: Services, project: str, path: Path, progress: Progress | None = None, inside: str = ""
) -> file_pb2.File:
    """Send one document and return its file, whose extraction is queued.

    The same bytes under the same file name return the file that is there, so a repeat is harmless, and sends nothing; a
    transfer that breaks off goes on where it was.

    Args:
        flow: the connection.
        project: projects/{project}
        path: the document.
        progress: called with bytes sent and bytes in all.
        inside: where it lies in the folder that is sent, kept with the file; "" if it is sent alone.

    Raises:
        FtfError: INVALID_ARGUMENT if the file cannot be read, or for its name, type, size or hash; NOT_FOUND without
            the project; RESOURCE_EXHAUSTED if the server's disk is full.
    """
    header = await _header(project, path, inside)

    def call(offset: int, timeout: float) -> Awaitable[file_pb2.File]:
        sent = parts(lambda: _opened(path), header, offset, ingest_service_pb2.UploadFileRequest, progress)
        return flow.ingest.UploadFile(sent, timeout=timeout)

    return await sent(lambda: _there(flow, header), call, header.size_bytes)


async def upload_archive(
    flow: Services, project: str, path: Path, progress: Progress | None = None
) -> ingest_service_pb2.UploadArchiveResponse:
    """Send a zip archive and return the files that its documents became, and what became of every member.

    Repeating it returns the same files. Args and errors are those of upload_file; the archive may also be refused as a
    whole with CORRUPT_DOCUMENT or EXTRACTION_LIMIT.
    """
    header = await _header(project, path, "")

    def call(offset: int, timeout: float) -> Awaitable[ingest_service_pb2.UploadArchiveResponse]:
        sent = parts(lambda: _opened(path), header, offset, ingest_service_pb2.UploadArchiveRequest, progress)
        return flow.ingest.UploadArchive(sent, timeout=timeout + _UNPACK_SECONDS)

    return await sent(lambda: _there(flow, header), call, header.size_bytes)


async def _header(project: str, path: Path, inside: str) -> ingest_service_pb2.UploadHeader:
    size, sha256 = await asyncio.to_thread(measure, path)
    return ingest_service_pb2.UploadHeader(
        parent=project, filename=path.name, sha256=sha256, size_bytes=size, path=inside
    )


async def _there(flow: Services, header: ingest_service_pb2.UploadHeader) -> upload_pb2.Upload:
    return await flow.ingest.GetUpload(ingest_service_pb2.GetUploadRequest(header=header))


async def sent(
    there: Callable[[], Awaitable[upload_pb2.Upload]], call: Callable[[int, float], Awaitable[Answer]], size: int
) -> Answer:
    """Send what the server lacks, and what it then still lacks if the transfer breaks off.

    What fits into one message is sent without asking. After three tries in a row that brought the server no further
    byte, the error is raised; so is one that a repeat cannot mend.

    Args:
        there: asks what the server has.
        call: sends the bytes from an offset on, within some seconds.
        size: bytes in all.
    """
    timeout = 60 + size / _SLOWEST_BYTES_PER_SECOND
    offset = await _received(there) if size > PART_BYTES else 0
    tries = _TRIES
    while True:
        try:
            return await call(offset, timeout)
        except FtfError as error:
            tries -= 1
            # Somebody completed or spoiled meanwhile what was to go on: the server says where to begin now.
            moved = error.reason == "UPLOAD_OFFSET" or (error.reason == "HASH_MISMATCH" and offset > 0)
            if not tries or not (error.away or moved):
                raise
        await asyncio.sleep(0.5)
        now = await _received(there)
        tries = _TRIES if now > offset else tries
        offset = now


async def _received(there: Callable[[], Awaitable[upload_pb2.Upload]]) -> int:
    """Return how many bytes a server has; one from before it kept any has none."""
    try:
        return (await there()).received_bytes
    except FtfError as error:
        if error.code != "UNIMPLEMENTED":
            raise
        return 0


async def parts(
    opened: Callable[[], IO[bytes]],
    header: Any,
    offset: int,
    request: Callable[..., Request],
    progress: Progress | None,
) -> AsyncIterator[Request]:
    """Yield the header, then the bytes from an offset on; gRPC asks for the next part when there is room for it.

    Args:
        opened: opens what is sent.
        header: the contract's, with offset and size_bytes; left as it is.
        offset: bytes that are not sent.
        request: makes a message of `header` or `data`.
        progress: called with bytes sent and bytes in all.
    """
    begun = type(header)()
    begun.CopyFrom(header)
    begun.offset = done = offset
    yield request(header=begun)
    if progress and done:
        progress(done, header.size_bytes)
    with opened() as file:
        # In an archive that is reading up to there.
        await asyncio.to_thread(file.seek, done)
        while data := await asyncio.to_thread(file.read, PART_BYTES):
            yield request(data=data)
            done += len(data)
            if progress:
                progress(done, header.size_bytes)


def measure(path: Path) -> tuple[int, str]:
    """Return a file's length in bytes and its SHA-256."""
    digest = hashlib.sha256()
    size = 0
    with _opened(path) as file:
        while data := file.read(1 << 20):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()


def _opened(path: Path) -> BinaryIO:
    """Open a document for reading. Raises FtfError INVALID_ARGUMENT with the system's reason."""
    try:
        if not path.is_file() and path.exists():
            raise FtfError(f"{path} is not a file", "name files, or use a shell pattern", code="INVALID_ARGUMENT")
        return path.open("rb")
    except OSError as error:
        raise FtfError(f"cannot read {path}: {error.strerror}", "check the path", code="INVALID_ARGUMENT") from error
    except ValueError:
        raise FtfError(f"{str(path)!r} is not a path", "check the name", code="INVALID_ARGUMENT") from None
