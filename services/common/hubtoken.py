"""The model hub's token: what reads models with it, and the trainers of this machine, find the same one."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from services.common.errors import NotReady

SECRET = "hub-token"  # noqa: S105  # the secret's name
VARIABLE = "HF_TOKEN"
"""Where Hugging Face's libraries, and so trainers, look for it."""


def hub_token(
    file: Path | None, secret: Callable[[str], str | None], environment: Mapping[str, str]
) -> Callable[[], str | None]:
    """Return what returns the token, None if there is none. It is asked at every use: a new token is used at once.

    What is returned raises NotReady if the file or the secret is not as it must be.

    Args:
        file: with the token; goes before all else.
        secret: returns a secret by its name; goes before the environment.
        environment: may have it as HF_TOKEN.
    """
    if file is not None:
        return lambda: read_token_file(file)
    return lambda: _of_secret(secret) or environment.get(VARIABLE, "").strip() or None


def is_given(token: Callable[[], str | None]) -> bool:
    """Return whether there is a token; one that cannot be read is none."""
    try:
        return bool(token())
    except NotReady:
        return False


def read_token_file(path: Path) -> str:
    """Return the token in a file that only its owner and its group can read: as a Secret is mounted.

    Raises:
        NotReady: the file is not there or no text, or others can read or change it.
    """
    try:
        status = path.stat()
        if status.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise NotReady(f"Others can read the hub token in {path}. Run `chmod 600 {path}`.")
        return _line(path.read_text(encoding="utf-8"), f"file {path}")
    except (OSError, UnicodeDecodeError):
        raise NotReady(f"The hub token's file {path} cannot be read. Write it, or leave it out.") from None


def _of_secret(secret: Callable[[str], str | None]) -> str:
    try:
        return _line(secret(SECRET) or "", f"secret {SECRET}")
    except (OSError, UnicodeDecodeError):
        raise NotReady(f"The secret {SECRET} cannot be read. Write it again, or remove it.") from None


def _line(text: str, where: str) -> str:
    """Return a token without what is around it: an environment takes no NUL, a header no second line."""
    token = text.strip()
    if not token.isprintable():
        raise NotReady(f"The hub token of the {where} is not one line of text. Write it again.")
    return token
