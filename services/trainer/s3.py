"""One try at reading or writing an object over HTTP, by a presigned URL, in blocks; what an answer means for the next.

Servers differ: SeaweedFS answers 500 where MinIO answers 503 while it starts, a proxy in between 502; an expired URL is
403 at both and 400 at some; a store may ignore Range, or answer 416 for a range that begins at the end, SeaweedFS with
the size, MinIO without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx

from services.common import connecting

_BLOCK = 1024 * 1024
_TIMEOUT = httpx.Timeout(30.0, read=120.0, write=120.0)
_AWAY = (408, 425, 429)
_AWAY_CODES = ("RequestTimeout", "SlowDown", "OperationAborted", "InternalError", "ServiceUnavailable")
_WRITTEN = ("PreconditionFailed",)
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


def put(path: Path, url: str) -> None:
    """Write a file to an object, whole. One that is there already stays: an earlier try may have written it unheard.

    Raises:
        Away, Refused: see there.
    """
    try:
        with path.open("rb") as file:
            headers = {"Content-Length": str(path.stat().st_size)}
            answer = httpx.put(url, content=_blocks(file), headers=headers, timeout=_TIMEOUT)
    except httpx.TransportError as error:
        raise Away(connecting.why(error)) from error
    if answer.status_code == 412 or _code(answer) in _WRITTEN:
        return
    _check(answer)


def _blocks(file: object) -> Iterator[bytes]:
    while block := file.read(_BLOCK):  # type: ignore[attr-defined]  # any binary file
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
