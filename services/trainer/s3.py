"""One try at reading or writing an object over HTTP, by a presigned URL, in blocks; what an answer means for the next.

Servers differ: SeaweedFS answers 500 where MinIO answers 503 while it starts, a proxy in between 502; an expired URL is
403 at both and 400 at some; a store may ignore Range, or answer 416 for a range that begins at the end, SeaweedFS with
the size, MinIO without.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

import httpx

from services.common import connecting

_BLOCK = 1024 * 1024
_TIMEOUT = httpx.Timeout(30.0, read=120.0, write=120.0)
_AWAY = (408, 425, 429)
_AWAY_CODES = ("RequestTimeout", "SlowDown", "OperationAborted", "InternalError", "ServiceUnavailable")
_WRITTEN = ("PreconditionFailed",)
_COMPLETED = ("NoSuchUpload",)
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_READ_OF_ERROR = 4_096


class Away(Exception):
    """The store cannot do it now."""


class Refused(Exception):
    """The store does not take this URL, or has no such object."""


def get(url: str, target: Path) -> None:
    """Read an object into a file; what the file holds already is not read again, if the store can begin there.

    Raises:
        Away: broke off or never began; what arrived stays in the file.
        Refused: see there.
    """
    have = target.stat().st_size if target.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=False) as answer:
            if answer.status_code == 416 and _total(answer) in (have, -1):
                # Everything is here; where the store does not tell the size, the hash will.
                return
            if answer.status_code == 416:
                target.unlink(missing_ok=True)
                raise Away("HTTP 416, beginning again")
            _check(answer)
            goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if answer.status_code == 206 and not goes_on:
                target.unlink(missing_ok=True)
                raise Away("another range than asked for, beginning again")
            with target.open("ab" if goes_on else "wb") as file:
                # As it comes: what is gathered to larger blocks would be lost with the connection.
                for block in answer.iter_raw():
                    file.write(block)
    except httpx.TransportError as error:
        raise Away(connecting.why(error)) from error


def put(path: Path, url: str, start: int = 0, length: int = -1) -> str:
    """Write a file to an object; return its tag. One that is there stays: an earlier try may have written it unheard.

    Args:
        path: the file.
        url: of the object, or of a part of it.
        start: first byte that is written.
        length: bytes that are written; -1 for all that follow.

    Raises:
        Away, Refused: see there.
    """
    length = path.stat().st_size - start if length < 0 else length
    try:
        with path.open("rb") as file:
            file.seek(start)
            headers = {"Content-Length": str(length)}
            answer = httpx.put(url, content=_blocks(file, length), headers=headers, timeout=_TIMEOUT)
    except httpx.TransportError as error:
        raise Away(connecting.why(error)) from error
    if answer.status_code == 412 or _code(answer) in _WRITTEN:
        return ""
    _check(answer)
    return str(answer.headers.get("ETag", ""))


def complete(url: str, tags: Sequence[str], again: bool) -> None:
    """Make an object of its parts.

    Args:
        url: granted for it.
        tags: what the writing of each part returned, in order.
        again: whether this was tried before; then an upload that is gone may have been completed unheard.

    Raises:
        Away, Refused: see there.
    """
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
        for number, tag in enumerate(tags, 1)
    )
    body = f'<CompleteMultipartUpload xmlns="{_XMLNS}">{parts}</CompleteMultipartUpload>'
    headers = {"Content-Type": "application/xml"}
    try:
        answer = httpx.post(url, content=body, headers=headers, timeout=_TIMEOUT)
    except httpx.TransportError as error:
        raise Away(connecting.why(error)) from error
    if again and _code(answer) in _COMPLETED:
        return
    _check(answer)
    # A server that puts many parts together says 200 before it knows how that ends.
    if found := _CODE.search(answer.text):
        raise Away(f"HTTP {answer.status_code} {found[1]}")


def abort(url: str) -> None:
    """Remove the parts of an upload that came to nothing. Where that fails, the bucket's rule for such removes them."""
    with contextlib.suppress(httpx.TransportError):
        httpx.delete(url, timeout=_TIMEOUT)


def _blocks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length and (block := file.read(min(_BLOCK, length))):
        length -= len(block)
        yield block


def _total(answer: httpx.Response) -> int:
    """Size of the object, as an answer of 416 tells it; -1 if it does not."""
    text = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdecimal() else -1


def _check(answer: httpx.Response) -> None:
    status = answer.status_code
    if status < 300:
        return
    code = _code(answer)
    words = f"HTTP {status} {code}".rstrip()
    if status >= 500 or status in _AWAY or code in _AWAY_CODES:
        raise Away(words)
    raise Refused(words)


def _code(answer: httpx.Response) -> str:
    """Return S3's name for an error, or ""."""
    if answer.status_code < 300:
        return ""
    text = b""
    if answer.is_stream_consumed:
        text = answer.content
    else:
        for block in answer.iter_raw(_READ_OF_ERROR):
            text += block
            if len(text) >= _READ_OF_ERROR:
                break
    found = _CODE.search(text.decode("utf-8", "replace"))
    return found[1] if found else ""
