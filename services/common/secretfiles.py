"""Secrets in files that only their owner can read."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

from services.common.errors import InvalidArgument

KEY_BYTES = 32
"""A signing key's least length."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class Secrets:
    """A folder of named secrets. Services write and use them; no API returns them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f'A secret cannot be named "{name[:80]}".')
        return self._folder / name

    def put(self, name: str, value: str) -> None:
        """Store a secret, replacing an earlier one."""
        write_private(self._path(name), value.encode())

    def get(self, name: str) -> str | None:
        """Return a secret, or None."""
        path = self._path(name)
        return path.read_text() if path.exists() else None

    def delete(self, name: str) -> None:
        """Forget a secret. Repeating it does nothing."""
        self._path(name).unlink(missing_ok=True)

    def key(self, name: str) -> bytes:
        """Return 32 random bytes that stay the same from the first call on, whoever calls first.

        Raises:
            InvalidArgument: what is kept there is shorter (CONFIGURATION).
        """
        path = self._path(name)
        if not path.exists():
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            write_private(temporary, secrets.token_bytes(KEY_BYTES))
            # A link is refused where there is one already: of two programs that make the key at once, one does.
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
            temporary.unlink()
        return read_key(path)


def read_key(path: Path) -> bytes:
    """Return the key that a file holds.

    Raises:
        InvalidArgument: it cannot be read, or is shorter than 32 bytes (CONFIGURATION).
    """
    try:
        key = path.read_bytes()
    except OSError as error:
        raise InvalidArgument(
            f"The signing key {path} cannot be read ({error.strerror}). Set FTF_SIGNING_KEY_FILE to a readable file "
            "(signingKey of the chart).",
            reason="CONFIGURATION",
        ) from None
    if len(key) < KEY_BYTES:
        raise InvalidArgument(
            f"The signing key {path} is shorter than {KEY_BYTES} bytes. Write random ones into it; "
            "FTF_SIGNING_KEY_FILE names it (signingKey of the chart).",
            reason="CONFIGURATION",
        )
    return key
