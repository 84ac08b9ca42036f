"""Pages of a list that is made anew for each call, by position."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TypeVar

from services.common.errors import InvalidArgument
from services.common.pages import checked_size

Item = TypeVar("Item")
_MARK = "at"


def page(items: Sequence[Item], size: int, token: str) -> tuple[Sequence[Item], str]:
    """Return a page of some items, and the next page's token ("" on the last).

    Raises:
        InvalidArgument: size is below 0 or over 1,000, or token is not one that this returned.
    """
    most = checked_size(size)
    start = start_of(token)
    end = start + most
    return items[start:end], token_of(end) if end < len(items) else ""


def token_of(start: int) -> str:
    """Return the token of a page that starts at a position, 1 or more."""
    return base64.urlsafe_b64encode(f"{_MARK}{start}".encode()).decode()


def start_of(token: str) -> int:
    """Return the position that a token stands for; 0 for "".

    Raises:
        InvalidArgument: token_of returns no such token.
    """
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
        start = int(text.removeprefix(_MARK)) if text.startswith(_MARK) else -1
    except ValueError:
        start = -1
    if start < 0:
        raise unknown()
    return start


def unknown() -> InvalidArgument:
    """Return the error of a token that is not a list's own."""
    return InvalidArgument("page_token is not one that this list returned. Begin without it.", field="page_token")
