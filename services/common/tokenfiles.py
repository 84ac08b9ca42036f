"""Tokens and keys in files that others write and replace: a mounted Secret, a projected token."""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

from services.common.auth import Principal, digest
from services.common.variables import configuration

LEAST_LENGTH = 16
"""Of a user's token, in characters; a shorter one could be guessed."""
LOOK_SECONDS = 2.0
"""How old what was read may be: a token that was removed is refused after it."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")
_TOKEN = re.compile(r"[!-~]+")

Stamp = tuple[int, int, int]

log = logging.getLogger(__name__)


class FileText:
    """The text of a small file, without white space round it; read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._text = ""

    def read(self) -> str:
        """Return the text.

        Raises:
            OSError: the file cannot be read.
        """
        stamp = _stamp(os.stat(self._path))
        if stamp != self._stamp:
            self._text, self._stamp = self._path.read_text(encoding="utf-8", errors="replace").strip(), stamp
        return self._text


class TokenFolder:
    """User tokens in a folder: a file's name is the token's, its content the token. The folder is a mounted Secret.

    A token that comes, changes or goes there counts some seconds later. Files that start with a dot are how Kubernetes
    swaps the content at once, and no tokens.

    Raises:
        InvalidArgument: the folder cannot be read (CONFIGURATION).
    """

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._monotonic = monotonic
        self._users: dict[bytes, str] = {}
        self._stamps: dict[str, Stamp] = {}
        self._looked = monotonic()
        try:
            self._look()
        except OSError as error:
            raise configuration(
                f"The folder of tokens {folder} cannot be read ({error.strerror}). Set FTF_TOKENS_DIR to a folder."
            ) from None

    async def principal(self, token: str) -> Principal | None:
        """See auth.TokenSource."""
        now = self._monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                self._look()
            except OSError as error:
                # Whoever took the folder away may have meant every token in it.
                log.error("The folder of tokens cannot be read (%s); no user's token is taken.", error.strerror)
                self._users, self._stamps = {}, {}
        user = self._users.get(digest(token))
        return Principal(user, "user") if user else None

    def _look(self) -> None:
        stamps: dict[str, Stamp] = {}
        for entry in sorted(os.listdir(self._folder)):
            try:
                status = os.stat(self._folder / entry)
            except OSError:
                continue  # it went just now
            if not entry.startswith(".") and stat.S_ISREG(status.st_mode):
                stamps[entry] = _stamp(status)
        if stamps != self._stamps:
            self._users = self._read(stamps)
            self._stamps = stamps

    def _read(self, stamps: dict[str, Stamp]) -> dict[bytes, str]:
        users: dict[bytes, str] = {}
        for name in stamps:
            try:
                text = (self._folder / name).read_text(encoding="utf-8", errors="replace").strip()
            except OSError:
                continue
            if wrong := _wrong(name, text):
                log.error("The token %r is not taken: %s", name[:80], wrong)
            elif digest(text) in users:
                log.error("The token %r is not taken: it is that of %r. Make another.", name, users[digest(text)])
            else:
                users[digest(text)] = name
        return users


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        InvalidArgument: it cannot be read, or cannot be a token (CONFIGURATION).
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise configuration(
            f"The token file {path} cannot be read ({error.strerror}). Set FTF_TOKEN_FILE to a readable file."
        ) from None
    if wrong := _wrong("token", text):
        raise configuration(f"The token in {path} is not taken: {wrong}")
    return text


def _wrong(name: str, text: str) -> str:
    """Return why a token is not taken, and the remedy; "" for a good one."""
    if not _NAME.fullmatch(name):
        return "its name has other characters than letters, digits, dots, dashes and underscores. Rename it."
    if not _TOKEN.fullmatch(text):
        return "it is empty, or has spaces or other characters than printable ASCII. Make another."
    if len(text) < LEAST_LENGTH:
        return f"it is shorter than {LEAST_LENGTH} characters. Make a random one of 32 or more."
    return ""


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_ino, status.st_size
