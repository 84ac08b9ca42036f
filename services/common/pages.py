"""Pages of a collection, in the order in which its documents were made."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from services.common.documents.port import Collection, Document, Where
from services.common.errors import InvalidArgument

MAX_PAGE = 1000
DEFAULT_PAGE = 100


async def page(collection: Collection, where: Where, page_size: int, page_token: str) -> tuple[list[Document], str]:
    """Return a page of documents by their field `order`, and the next page's token ("" on the last).

    Raises:
        InvalidArgument: page_size is below 0 or over 1,000, or page_token is not one of this list's.
    """
    size = checked_size(page_size)
    wanted = {**where, "order": {"$gt": _decode(page_token, _mark(where))}} if page_token else where
    docs = await collection.find(wanted, sort="order", limit=size + 1)
    if len(docs) <= size:
        return docs, ""
    docs = docs[:size]
    return docs, after(where, docs[-1])


def checked_size(page_size: int) -> int:
    """Return how many a page may have at most: 100 for 0.

    Raises:
        InvalidArgument: page_size is below 0 or over 1,000.
    """
    if not 0 <= page_size <= MAX_PAGE:
        raise InvalidArgument(f"page_size is {page_size}; use 1 to {MAX_PAGE}, or 0.", field="page_size")
    return page_size or DEFAULT_PAGE


def after(where: Where, doc: Document) -> str:
    """Return the token of the page that begins behind a document."""
    return base64.urlsafe_b64encode(f"{_mark(where)}{doc['order']}".encode()).decode()


def _mark(where: Where) -> str:
    return hashlib.sha256(json.dumps(where, sort_keys=True).encode()).hexdigest()[:8]


def _decode(token: str, mark: str) -> str:
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith(mark):
        raise InvalidArgument("page_token is not one that this list returned. Begin without it.", field="page_token")
    return text[len(mark) :]
