"""Stored files on their way to a client, from any byte on."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotReady
from services.common.objects.port import Objects


def check_range(what: str, size: int, sha256: str, offset: int, wanted: str) -> None:
    """Refuse a download that cannot go on.

    Args:
        what: it, for people.
        size: its bytes.
        sha256: their hash.
        offset: the first byte wanted.
        wanted: the hash that the caller knows of, or "".

    Raises:
        InvalidArgument: the offset is out of range.
        NotReady: the hash is another one (ARTIFACT_CHANGED).
    """
    if wanted and wanted != sha256:
        raise NotReady(
            f"{what} no longer has the SHA-256 {wanted[:12]}…: it was made anew. Look at it again, and download it "
            "from the start.",
            reason="ARTIFACT_CHANGED",
            field="sha256",
        )
    if not 0 <= offset <= size:
        raise InvalidArgument(f"offset is {offset:,}. Use 0 to {size:,}.", field="offset")


async def sent(objects: Objects, what: str, artifact: Document, offset: int, wanted: str) -> AsyncIterator[bytes]:
    """Yield an artifact's bytes from an offset on. Raises as check_range does, and NotFound without the object."""
    check_range(what, artifact["size_bytes"], artifact["sha256"], offset, wanted)
    async for data in objects.get(artifact["key"], offset):
        yield data
