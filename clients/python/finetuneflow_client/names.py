"""Short ids and full resource names: "r1" is "projects/p/runs/r1" in project p."""

from __future__ import annotations

import hashlib
import re


def full(collection: str, value: str, parent: str = "") -> str:
    """Return a full resource name.

    Args:
        collection: "runs", "models", …
        value: an id ("r1"), a name relative to the parent ("runs/r1") or a full one, which comes back as it is.
        parent: "projects/p", "projects/p/datasets/d"; empty for collections at the top.
    """
    top = parent.split("/", 1)[0] if parent else collection
    if value.startswith(f"{top}/"):
        return value
    relative = value if value.startswith(f"{collection}/") else f"{collection}/{value}"
    return f"{parent}/{relative}" if parent else relative


def short(name: str) -> str:
    """Return the last part of a resource name."""
    return name.rsplit("/", 1)[-1]


def parent(name: str) -> str:
    """Return the name of what a resource is in: "projects/p" for "projects/p/runs/r"."""
    return name.rsplit("/", 2)[0]


def kind(name: str) -> str:
    """Return the collection that a resource is in: "runs" for "projects/p/runs/r"; empty for a bare id."""
    return name.rsplit("/", 2)[-2] if "/" in name else ""


def is_id(value: str) -> bool:
    """Return whether a value can be the last part of a name, so not a path, a hub id or a file name."""
    return re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", value) is not None


def derived(prefix: str, *parts: str) -> str:
    """Return the id that the same parts always give, for work that may be asked for again."""
    return f"{prefix}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"
