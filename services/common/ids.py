"""Names and ids of resources (AIP-122)."""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import uuid

from services.common.errors import InvalidArgument

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_LETTERS = bytes(ord(_ALPHABET[b % len(_ALPHABET)]) for b in range(256))
_counter = itertools.count(secrets.randbelow(1 << 16))


def new_uid() -> str:
    """Return an id that is unique for all time."""
    return str(uuid.uuid4())


def new_id(prefix: str) -> str:
    """Return a short random id for a name, such as "run-k3v9x2mq"."""
    return prefix + "-" + "".join(secrets.choice(_ALPHABET) for _ in range(8))


def derived_id(prefix: str, *parts: str) -> str:
    """Return the id that the same parts always give; for children and for requests that may be repeated."""
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    return prefix + "-" + digest[:16].translate(_LETTERS).decode()


def sortable(now: float) -> str:
    """Return a string that sorts by time, then by the order of calls in this process, and is unique."""
    return f"{int(now * 1000):013x}{next(_counter) & 0xFFFFFF:06x}{secrets.token_hex(3)}"


def check_id(value: str, field: str) -> str:
    """Return a user's id if it may be the last part of a name.

    Raises:
        InvalidArgument: not 1 to 63 of a-z, 0-9 and "-", beginning with a letter and not ending with "-".
    """
    if not _ID.fullmatch(value):
        raise InvalidArgument(
            f'{field} "{value[:80]}" is not an id. Use 1 to 63 of a-z, 0-9 and "-", beginning with a letter.',
            field=field,
        )
    return value


def slug(text: str) -> str:
    """Return text as an id, or "" if nothing of it can be one."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-").lstrip("0123456789-")[:63].rstrip("-")
    return found if _ID.fullmatch(found) else ""


def parse_name(name: str, pattern: str, field: str = "name") -> tuple[str, ...]:
    """Return the ids in a resource name: parse_name("projects/p/runs/r", "projects/*/runs/*") gives ("p", "r").

    Raises:
        InvalidArgument: the name does not have the pattern's form.
    """
    expression = re.escape(pattern).replace(r"\*", r"([A-Za-z0-9][A-Za-z0-9._~-]{0,127})")
    found = re.fullmatch(expression, name)
    if not found:
        raise InvalidArgument(f'{field} "{name[:200]}" is not of the form {pattern}.', field=field)
    return found.groups()
