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

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.errors import Exhausted, NotReady, Unavailable
from services.trainer.config import Patience
from services.trainer.s3 import Away, Refused, abort, complete, get, put

log = logging.getLogger(__name__)

BLOCK = 1024 * 1024
_RENEWALS = 3
"""Fresh URLs asked for in a row, without a byte in between, before a refusal is believed."""

Renew = Callable[[], str]


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def fetch(url: str, sha256: str, target: Path, patience: Patience, what: str, renew: Renew | None = None) -> Path:
    """Copy what a URL holds to a file and check its hash; repeated while the store is away.

    A transfer that broke off goes on where it was, if the store can do that. Bytes put together of several transfers
    that have the wrong hash are fetched once more in one piece before they count as damaged.

    Args:
        url: file:// or http(s)://.
        sha256: what the bytes must hash to.
        target: file to write; its folder is made, and what is there is replaced once the hash is right.
        patience: how long to repeat; begins anew with every byte that arrives.
        what: name of the thing, for messages.
        renew: returns a fresh URL, for one that the store no longer takes.

    Raises:
        NotReady: with reason HASH_MISMATCH if the bytes are not the ones announced.
        Unavailable: the store was away for all of `Patience.call`, or refuses the URL.
        Exhausted: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    transfer = _Transfer(url, patience, what, renew)
    transfer.run(lambda url: _get(url, part), lambda: _size(part))
    found = sha256_file(part)
    if found != sha256 and transfer.repeats:
        part.unlink()
        transfer.run(lambda url: _get(url, part), lambda: _size(part))
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


def send(path: Path, url: str, patience: Patience, renew: Renew | None = None) -> None:
    """Write a file to a granted URL; repeated, from its beginning, while the store is away.

    Raises:
        Unavailable, Exhausted: as for `fetch`.
    """
    _Transfer(url, patience, path.name, renew).run(lambda url: _put(path, url), lambda: 0)


def send_parts(
    path: Path, granted: pb.GrantUploadResponse, patience: Patience, renew: Callable[[], pb.GrantUploadResponse]
) -> None:
    """Write a file in the parts that were granted; one that breaks off is repeated alone.

    What was written is removed if it comes to nothing.

    Args:
        path: the file.
        granted: with `part_urls`.
        patience: how long to repeat; begins anew with every part.
        renew: returns fresh URLs to the same upload.

    Raises:
        Unavailable, Exhausted: as for `fetch`.
    """
    upload = _Parts(path, granted, patience, renew)
    try:
        upload.send()
    except BaseException:
        upload.abort()
        raise


class _Parts:
    """A file's way in parts, each by the newest URL."""

    def __init__(
        self,
        path: Path,
        granted: pb.GrantUploadResponse,
        patience: Patience,
        renew: Callable[[], pb.GrantUploadResponse],
    ) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._granted = granted
        self._patience = patience
        self._renew = renew

    def send(self) -> None:
        """Write every part, and make an object of them."""
        tags = [self._send(number) for number in range(len(self._granted.part_urls))]
        last = self._transfer(self._path.name, lambda granted: granted.complete_url)
        last.run(lambda url: complete(url, tags, again=last.repeats > 0), lambda: 0)

    def abort(self) -> None:
        """Remove what was written."""
        abort(self._granted.abort_url)

    def _send(self, number: int) -> str:
        start = number * self._granted.part_bytes
        length = min(self._granted.part_bytes, self._size - start)
        tags: list[str] = []
        transfer = self._transfer(f"{self._path.name}, part {number + 1}", lambda granted: granted.part_urls[number])
        transfer.run(lambda url: tags.append(put(self._path, url, start, length)), lambda: 0)
        return tags[-1]

    def _transfer(self, what: str, url: Callable[[pb.GrantUploadResponse], str]) -> _Transfer:
        def renew() -> str:
            self._granted = self._renew()
            return url(self._granted)

        return _Transfer(url(self._granted), self._patience, what, renew)


class _Transfer:
    """One file's way: tried again while the store is away, with a fresh URL when it refuses the one at hand."""

    def __init__(self, url: str, patience: Patience, what: str, renew: Renew | None) -> None:
        self._url = url
        self._patience = patience
        self._what = what
        self._renew = renew
        self.repeats = 0

    def run(self, action: Callable[[str], None], progress: Callable[[], int]) -> None:
        """Do it, again and again.

        Args:
            action: one try, with a URL.
            progress: bytes that have arrived; patience begins anew when they grow.
        """
        began: float | None = None
        bytes_before, in_a_row, renewals = 0, 0, 0
        while True:
            try:
                return action(self._url)
            except Away as away:
                reason = str(away)
            except Refused as refused:
                renewals = 0 if progress() > bytes_before else renewals + 1
                self._take_fresh_url(refused, renewals)
                reason = str(refused)
            except OSError as error:
                if error.errno == 28:
                    raise Exhausted("The disk is full. Free space and start again.", reason="DISK_FULL") from error
                raise
            self.repeats += 1
            if began is None or progress() > bytes_before:
                began, bytes_before, in_a_row = time.monotonic(), progress(), 0
            self._pause(began, in_a_row, reason)
            in_a_row += 1

    def _take_fresh_url(self, refused: Refused, renewals: int) -> None:
        if self._renew is None or renewals > _RENEWALS:
            raise Unavailable(
                f"{self._what}: the object store refuses a granted URL ({refused}). Start the work again."
            ) from refused
        self._url = self._renew()

    def _pause(self, began: float, in_a_row: int, reason: str) -> None:
        pause = self._patience.pause(in_a_row)
        if time.monotonic() + pause > began + self._patience.call:
            raise Unavailable(f"{self._what}: the object store does not answer ({reason}). It will be tried again.")
        if in_a_row == 0:
            log.warning("%s: the object store does not answer (%s); repeating.", self._what, reason)
        time.sleep(pause)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _local(url: str) -> Path | None:
    parts = urllib.parse.urlsplit(url)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None


def _get(url: str, target: Path) -> None:
    source = _local(url)
    if source is None:
        get(url, target)
    elif source.exists():
        shutil.copyfile(source, target)
    else:
        raise Away("the file is not there")


def _put(path: Path, url: str) -> None:
    target = _local(url)
    if target is None:
        put(path, url)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}~{uuid.uuid4().hex}")
    try:
        shutil.copyfile(path, part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
