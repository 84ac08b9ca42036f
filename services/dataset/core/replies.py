"""From an LLM's reply to a JSON object of the right form, or the reason why not."""

from __future__ import annotations

import json
import re
from typing import Any

import json_repair
import jsonschema

_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[a-zA-Z0-9_-]*\s*\n?(.*?)(```|\Z)", re.DOTALL)
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry,|i cannot|i can'?t|i am unable|i'?m unable|as an ai\b|i do not have access)",
    re.I,
)


def parse(reply: str, schema: dict[str, Any]) -> tuple[dict[str, Any] | None, str, str]:
    """Return the object in a reply, a drop reason, and a detail for people; the object is None if there is a reason.

    Thinking is cut off, fences are opened, text around the outermost braces is left out, and what is still not JSON is
    repaired by json_repair. Nothing is accepted that the schema refuses.

    Reasons: EMPTY_REPLY, REFUSAL, INVALID_JSON, INVALID_SCHEMA.
    """
    text = _THINKING.sub("", reply).strip()
    if not text:
        return None, "EMPTY_REPLY", "the reply is empty"
    found = _object(text)
    if found is None:
        if _REFUSAL.match(text):
            return None, "REFUSAL", text[:200]
        return None, "INVALID_JSON", text[:200]
    problem = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(found)), None)
    if problem is not None:
        return None, "INVALID_SCHEMA", problem.message[:200]
    return found, "", ""


def _object(text: str) -> dict[str, Any] | None:
    for candidate in _candidates(text):
        try:
            value = json.loads(candidate)
        except ValueError:
            value = json_repair.loads(candidate) if "{" in candidate else None
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict) and value:
            return value
    return None


def _candidates(text: str) -> list[str]:
    fenced = [m.group(1) for m in _FENCE.finditer(text)]
    start, end = text.find("{"), text.rfind("}")
    outermost = [text[start : end + 1]] if 0 <= start < end else []
    rest = [text[start:]] if start >= 0 else []
    return [*fenced, *outermost, *rest]
