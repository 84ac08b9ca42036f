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
    start = _start(token)
    end = start + most
    after = base64.urlsafe_b64encode(f"{_MARK}{end}".encode()).decode() if end < len(items) else ""
    return items[start:end], after


def _start(token: str) -> int:
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
        start = int(text.removeprefix(_MARK)) if text.startswith(_MARK) else -1
    except ValueError:
        start = -1
    if start < 0:
        raise InvalidArgument("page_token is not one that this list returned. Begin without it.", field="page_token")
    return start
