"""The filter of a list of examples: conditions joined by AND, a part of AIP-160."""

from __future__ import annotations

import re
from typing import Any

from services.common.errors import InvalidArgument

FIELDS = {"accepted": bool, "edited": bool, "split": str, "drop_reason": str, "file": str, "chunk": str, "flag": str}
SPLITS = ("TRAIN", "EVAL", "RECALL")
_CONDITION = re.compile(r'\s*([a-z_]+)\s*=\s*(?:"([^"]*)"|([A-Za-z0-9_./-]+))\s*')


def parse(text: str) -> dict[str, Any]:
    """Return the conditions of a filter: "" means accepted = true, "*" means none.

    Raises:
        InvalidArgument: not of the form `field = value AND …`, an unknown field, or a bad value.
    """
    text = text.strip()
    if text == "*":
        return {}
    if not text:
        return {"accepted": True}
    where: dict[str, Any] = {}
    for part in re.split(r"\bAND\b", text):
        found = _CONDITION.fullmatch(part)
        if not found or found.group(1) not in FIELDS:
            known = ", ".join(FIELDS)
            raise InvalidArgument(
                f'"{part.strip()[:100]}" is not a condition. Write field = value, joined by AND; fields are {known}.',
                field="filter",
            )
        field, quoted, bare = found.groups()
        value = _value(field, quoted if quoted is not None else bare)
        if field == "flag":
            where[f"flagged.{value}"] = True
        else:
            where[field] = value
    return where


def _value(field: str, text: str) -> Any:
    if FIELDS[field] is bool:
        if text.lower() not in ("true", "false"):
            raise InvalidArgument(f"{field} is true or false, not {text[:50]}.", field="filter")
        return text.lower() == "true"
    if field == "split":
        side = text.upper().removeprefix("SPLIT_")
        if side not in SPLITS:
            raise InvalidArgument(f"split is one of {', '.join(SPLITS)}, not {text[:50]}.", field="filter")
        return "SPLIT_" + side
    if field == "flag" and not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", text):
        raise InvalidArgument(f"{text[:50]} is no flag. Flags are words such as PII_EMAIL.", field="filter")
    return text
