"""Bytes to and from granted URLs: file:// on one machine, http(s):// where objects are in S3."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx

from services.common.errors import Exhausted, NotReady, Unavailable
from services.trainer.config import Patience

log = logging.getLogger(__name__)

BLOCK = 1024 * 1024
_TIMEOUT = httpx.Timeout(30.0, read=120.0, write=120.0)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def fetch(url: str, sha256: str, target: Path, patience: Patience, what: str) -> Path:
    """Copy what a URL holds to a file and check its hash; repeated while the store is away.

    Args:
        url: file:// or http(s)://.
        sha256: what the bytes must hash to.
        target: file to write; its folder is made, and what is there is replaced once the hash is right.
        patience: how long to repeat.
        what: name of the thing, for messages.

    Raises:
        NotReady: with reason HASH_MISMATCH if the bytes are not the ones announced.
        Unavailable: the store was away for all of `Patience.call`.
        Exhausted: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    _again(lambda: _get(url, part), patience, what)
    found = sha256_file(part)
    if found != sha256:
        part.unlink()
        raise NotReady(
            f"{what} is damaged: it hashes to {found[:12]}… where {sha256[:12]}… was announced. Make it again.",
            reason="HASH_MISMATCH",
            metadata={"expected": sha256, "found": found},
        )
    os.replace(part, target)
    return target


def send(path: Path, url: str, patience: Patience) -> None:
    """Write a file to a granted URL; repeated while the store is away.

    Raises:
        Unavailable, Exhausted: as for `fetch`.
    """
    _again(lambda: _put(path, url), patience, path.name)


class _Away(Exception):
    """The store cannot be reached now."""


def _again(action: Callable[[], None], patience: Patience, what: str) -> None:
    end = time.monotonic() + patience.call
    repeat = 0
    while True:
        try:
            return action()
        except _Away as away:
            pause = patience.pause(repeat)
            if time.monotonic() + pause > end:
                raise Unavailable(
                    f"{what}: the object store does not answer ({away}). It will be tried again."
                ) from away
            if repeat == 0:
                log.warning("%s: the object store does not answer (%s); repeating.", what, away)
            time.sleep(pause)
            repeat += 1
        except OSError as error:
            if error.errno == 28:
                raise Exhausted("The disk is full. Free space and start again.", reason="DISK_FULL") from error
            raise


def _local(url: str) -> Path | None:
    parts = urllib.parse.urlsplit(url)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None


def _get(url: str, target: Path) -> None:
    source = _local(url)
    if source is not None:
        if not source.exists():
            raise _Away("the file is not there")
        shutil.copyfile(source, target)
        return
    try:
        with httpx.stream("GET", url, timeout=_TIMEOUT, follow_redirects=False) as answer, target.open("wb") as file:
            _check(answer)
            for block in answer.iter_bytes(BLOCK):
                file.write(block)
    except httpx.TransportError as error:
        raise _Away(type(error).__name__) from error


def _put(path: Path, url: str) -> None:
    target = _local(url)
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}~{uuid.uuid4().hex}")
        try:
            shutil.copyfile(path, part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        return
    try:
        with path.open("rb") as file:
            headers = {"Content-Length": str(path.stat().st_size)}
            _check(httpx.put(url, content=iter(lambda: file.read(BLOCK), b""), headers=headers, timeout=_TIMEOUT))
    except httpx.TransportError as error:
        raise _Away(type(error).__name__) from error


def _check(answer: httpx.Response) -> None:
    if answer.status_code >= 500 or answer.status_code in (408, 429):
        raise _Away(f"HTTP {answer.status_code}")
    if answer.status_code >= 300:
        raise Unavailable(f"The object store refuses a granted URL (HTTP {answer.status_code}). Start the work again.")
