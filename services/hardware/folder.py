"""Models in a folder of this machine, in the Hugging Face layout."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.common.chat.document import chat_document
from services.common.errors import InvalidArgument, NotFound, Unavailable
from services.hardware import core_model
from services.hardware.core_model import Description, File, invalid
from services.hardware.core_safetensors import PREFIX, Tensor, header_length, tensors
from services.hardware.modelfiles import check_tokenizer, license_of_card, no_tokenizer, parse_json

_BLOCK = 4 * 1024 * 1024
_REMEMBERED = 10_000


class FolderSource:
    """Reads model folders; see ports.ModelSource.

    Hashing takes as long as reading the files. One thread does it, and hashes of files that have not changed since are
    remembered, so that a caller whose deadline passed goes on from there when it asks again.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-hash")
        self._closed = threading.Event()
        self._hashes: OrderedDict[tuple[str, int, int, int], str] = OrderedDict()

    async def read(self, location: str, revision: str) -> Description:
        """Return what a folder's files say; see ports.ModelSource."""
        folder = _absolute(location)
        try:
            found = await asyncio.to_thread(inspect, folder)
            loop = asyncio.get_running_loop()
            files = [await loop.run_in_executor(self._thread, self._hash, folder / name) for name in found.names]
        except PermissionError as error:
            raise invalid(f"{error.filename} cannot be read by this program. Change its permissions.") from None
        except FileNotFoundError as error:
            raise invalid(f"{error.filename} is gone or a dead link. Copy the model again.") from None
        except OSError as error:
            raise invalid(f"{folder} cannot be read: {error.strerror}. Copy the model to another disk.") from None
        computed = core_model.folder_revision(files)
        if revision not in ("", computed):
            raise InvalidArgument(
                f"{folder} has the revision {computed}, not {revision[:80]}. Leave revision out, or use the folder "
                "that has it.",
                reason="MODEL_INVALID",
                field="model.revision",
            )
        return found.described(computed, tuple(files))

    def close(self) -> None:
        """Stop hashing. Repeating it does nothing."""
        self._closed.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _hash(self, path: Path) -> File:
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
        if key not in self._hashes:
            digest, block = hashlib.sha256(), memoryview(bytearray(_BLOCK))
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(block):
                    if self._closed.is_set():
                        raise Unavailable("The service is stopping. Repeat the call.")
                    digest.update(block[:count])
            self._hashes[key] = digest.hexdigest()
            while len(self._hashes) > _REMEMBERED:
                self._hashes.popitem(last=False)
        return File(path.name, status.st_size, self._hashes[key])


class Inspected:
    """What the small files and headers of a folder say, before anything is hashed.

    Args:
        names: of its files.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.names = names
        if core_model.CONFIG in names:
            core_model.weight_files(names, str(folder))  # of all that may be missing, worth saying first
        config = core_model.check_config(_json(folder, core_model.CONFIG, names))
        if core_model.TOKENIZER not in names:
            raise no_tokenizer(str(folder))
        self.parameters, self.dtype = core_model.count_weights(_weights(folder, names), config)
        self.tokenizer = _small(folder / core_model.TOKENIZER, core_model.MAX_TOKENIZER)
        check_tokenizer(self.tokenizer)
        self.config = core_model.kept_config(config)
        core_model.read_sizes(self.config)
        self.license = _license(folder, names)
        settings = core_model.TOKENIZER_CONFIG
        template = _small(folder / core_model.TEMPLATE, core_model.MAX_JSON) if core_model.TEMPLATE in names else b""
        self.chat = chat_document(
            _json(folder, settings, names) if settings in names else {}, template.decode("utf-8", "replace")
        )

    def described(self, revision: str, files: tuple[File, ...]) -> Description:
        """Return the whole description."""
        return Description(
            revision=revision,
            files=files,
            config=self.config,
            parameters=self.parameters,
            dtype=self.dtype,
            license=self.license,
            gated=False,
            tokenizer=self.tokenizer,
            chat=self.chat,
        )


def _absolute(location: str) -> Path:
    if "\x00" in location or not location.startswith("/"):
        raise InvalidArgument(
            "local_path is not an absolute path. Give the folder from / on.", field="model.local_path"
        )
    return Path(os.path.normpath(location))


def inspect(folder: Path) -> Inspected:
    """Return what the small files and headers of a folder say; nothing is hashed. Raises as ports.ModelSource.read."""
    if not folder.exists():
        raise NotFound(
            f"There is no folder {folder}. Check the path; it must be on the machine of the server.",
            reason="MODEL_NOT_FOUND",
        )
    if not folder.is_dir():
        raise invalid(f"{folder} is a file. Give the folder that the model's files are in.")
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if not e.name.startswith(".") and (e.is_file() or e.is_symlink()))
    names = [name for name in names if not (folder / name).is_dir()]
    if len(names) > core_model.MAX_FILES:
        raise invalid(f"{folder} has {len(names):,} files. Give a folder that holds one model and nothing else.")
    odd = next((name for name in names if not name.isprintable()), None)
    if odd is not None:
        raise invalid(f"{folder} has a file named {odd!r}. Rename it.")
    return Inspected(folder, tuple(names))


def _weights(folder: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    first = core_model.weight_files(names, str(folder))
    if first == core_model.WEIGHTS:
        return _header(folder / first)
    index = parse_json(first, _small(folder / first, core_model.MAX_INDEX))
    weight_map = core_model.shards(index, names)
    stored: dict[str, Tensor] = {}
    for filename in sorted(set(weight_map.values())):
        part = _header(folder / filename)
        core_model.check_shard(filename, weight_map, part)
        stored |= part
    return stored


def _header(path: Path) -> dict[str, Tensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = header_length(path.name, file.read(PREFIX), size)
        return tensors(path.name, file.read(length), size)


def _license(folder: Path, names: tuple[str, ...]) -> str:
    stated = ""
    if core_model.README in names:
        card = _small(folder / core_model.README, core_model.MAX_JSON)
        stated = license_of_card(card.decode("utf-8", "replace"))
    found = core_model.license_file(names)
    if stated or not found:
        return stated
    text = _small(folder / found, core_model.MAX_JSON)
    return core_model.license_of_text(text.decode("utf-8", "replace"))


def _json(folder: Path, filename: str, names: tuple[str, ...]) -> object:
    if filename not in names:
        raise invalid(f"{folder} has no {filename}. Give a folder in the Hugging Face layout.")
    return parse_json(filename, _small(folder / filename, core_model.MAX_JSON))


def _small(path: Path, limit: int) -> bytes:
    size = path.stat().st_size
    if size > limit:
        raise invalid(f"{path.name} has {size:,} bytes; at most {limit:,} are read. Use the model's own file.")
    return path.read_bytes()
