"""Models whose files were uploaded: kept in the object store by their hashes, so that no node needs a folder."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from services.common.errors import FineTuneFlowError, InvalidArgument, NotReady
from services.common.objects.port import Objects
from services.common.objects.unfinished import Announced, Unfinished
from services.common.resources import Resources
from services.hardware import core_model
from services.hardware.core_model import Description, File, invalid
from services.hardware.core_safetensors import PREFIX, header_length
from services.hardware.folder import inspect
from services.hardware.store import UPLOADS, upload_key

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3_600.0
AGE_SECONDS = 86_400.0
_NAMED = 100
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_file(file: File) -> None:
    """Refuse a file that no model needs, code above all, or one that is not announced in full.

    Raises:
        InvalidArgument: PICKLE_WEIGHTS, or MODEL_INVALID.
    """
    if core_model.is_pickle(file.filename):
        raise InvalidArgument(
            f"{file.filename[:200]!r} holds pickled weights, which can run code. Use the model's safetensors.",
            reason="PICKLE_WEIGHTS",
        )
    if not _NAME.fullmatch(file.filename) or not core_model.is_part(file.filename):
        raise invalid(f"{file.filename[:200]!r} is no file that a model needs. Leave it out.")
    if not _SHA256.fullmatch(file.sha256) or file.size_bytes < 1:
        raise invalid(f"{file.filename!r} needs its length and its SHA-256. Send both.")


class Uploaded:
    """Takes in files of models, and describes models of such files.

    Args:
        objects: where the files are kept.
        scratch: an own folder.
        unfinished: uploads that broke off.
        taken: told the key of every file before it is stored; see UploadSweeper.keep.
    """

    def __init__(self, objects: Objects, scratch: Path, unfinished: Unfinished, taken: Callable[[str], None]) -> None:
        self._objects = objects
        self._unfinished = unfinished
        self._scratch = scratch
        self._taken = taken

    async def take(self, file: File, data: AsyncIterator[bytes], offset: int = 0) -> None:
        """Store a file's bytes; the same again change nothing but that the file's day begins anew.

        Args:
            offset: bytes that are not sent, since they have come before.

        Raises:
            InvalidArgument: as check_file; or the bytes are not the announced ones (HASH_MISMATCH).
            NotReady: fewer bytes than the offset are here (UPLOAD_OFFSET).
            Exhausted: DISK_FULL.
        """
        check_file(file)
        key = upload_key(file.sha256)
        self._taken(key)
        if await self._objects.size(key) is None:
            async with self._unfinished.receiving(_announced(file, offset), data) as every:
                await self._objects.put(key, _checked(file, every))
        async for _ in data:  # of one that was there already; a client that is still sending is not cut off
            pass

    async def received(self, file: File) -> int:
        """Return how many bytes of a file need not be sent. Raises InvalidArgument as check_file."""
        check_file(file)
        if await self._objects.size(upload_key(file.sha256)) is not None:
            return file.size_bytes
        return await self._unfinished.have(_announced(file))

    async def read(self, files: Sequence[File]) -> Description:
        """Return what uploaded files say together.

        Raises:
            InvalidArgument: they are no model (MODEL_INVALID, PICKLE_WEIGHTS).
            NotReady: some are not there (MODEL_FILES_MISSING).
        """
        names = [file.filename for file in files]
        if len(files) > core_model.MAX_FILES or len(set(names)) < len(names):
            raise invalid(f"A model has at most {core_model.MAX_FILES:,} files, each with a name of its own.")
        for file in files:
            check_file(file)
        await self.require(files)
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="model-", dir=self._scratch))
        try:
            for file in files:
                await self._lay_out(file, folder)
            found = await asyncio.to_thread(inspect, folder)
        except InvalidArgument as error:
            raise invalid(error.message.replace(str(folder), "The upload")) from None
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        ordered = tuple(sorted(files, key=lambda file: file.filename))
        return found.described(core_model.folder_revision(ordered), ordered)

    async def require(self, files: Sequence[File]) -> None:
        """Refuse files that are not in the store.

        Raises:
            NotReady: so it is (MODEL_FILES_MISSING).
        """
        missing = [file.filename for file in files if await self._objects.size(upload_key(file.sha256)) is None]
        if missing:
            raise NotReady(
                f"{len(missing)} of {len(files)} files are not uploaded. Upload them, then repeat: `ftf model import` "
                "does both.",
                reason="MODEL_FILES_MISSING",
                metadata={"filenames": "\n".join(missing[:_NAMED])},
            )

    async def _lay_out(self, file: File, folder: Path) -> None:
        """Write what of a file describes the model; of weights their header alone, the rest is a hole."""
        key, length = upload_key(file.sha256), core_model.MAX_TOKENIZER
        if file.filename.endswith(".safetensors"):
            length = PREFIX + header_length(file.filename, await self._part(key, PREFIX), file.size_bytes)
        data = await self._part(key, length)

        def write() -> None:
            with (folder / file.filename).open("wb") as target:
                target.write(data)
                target.truncate(file.size_bytes)

        await asyncio.to_thread(write)

    async def _part(self, key: str, length: int) -> bytes:
        return b"".join([block async for block in self._objects.get(key, 0, length)])


def _announced(file: File, offset: int = 0) -> Announced:
    return Announced(file.sha256, file.size_bytes, offset)


async def _checked(file: File, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    digest, size = hashlib.sha256(), 0
    async for block in data:
        size += len(block)
        digest.update(block)
        if size > file.size_bytes:
            break
        yield block
    if size != file.size_bytes or digest.hexdigest() != file.sha256:
        raise InvalidArgument(
            f"The bytes of {file.filename!r} are not those that were announced. Upload it again.",
            reason="HASH_MISMATCH",
        )


class UploadSweeper:
    """Removes uploaded files that no model has named for a day, and old unfinished ones: at the start and hourly."""

    def __init__(
        self, models: Resources, objects: Objects, unfinished: Unfinished, age_seconds: float = AGE_SECONDS
    ) -> None:
        self._models = models
        self._objects = objects
        self._unfinished = unfinished
        self._age_seconds = age_seconds
        self._unnamed: dict[str, float] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.sweep()
            except FineTuneFlowError as error:
                log.warning("sweep of uploaded models: tried again in an hour: %s", error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Remove what has been without a model since long enough."""
        await self._unfinished.sweep()
        now = self._models.clock.now()
        named = await self._named()
        keys = [key async for key in self._objects.list(UPLOADS)]
        self._unnamed = {key: self._unnamed.get(key, now) for key in keys if key not in named}
        due = [key for key, since in self._unnamed.items() if now - since >= self._age_seconds]
        for key in due:
            # A model may have been made of it since, or its upload begun again.
            if key not in await self._named() and key in self._unnamed:
                await self._objects.delete(key)

    def keep(self, key: str) -> None:
        """Let a file's time begin anew: it was uploaded again. This process alone knows of it."""
        self._unnamed.pop(key, None)

    async def _named(self) -> set[str]:
        docs = await self._models.collection.find({"uploaded": True, "delete_time": None})
        return {upload_key(sha256) for doc in docs for _, _, sha256 in doc["files"]}
