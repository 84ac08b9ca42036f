"""From an LLM's reply to a JSON object of the right form, or the reason why not."""

from __future__ import annotations

import json
import re
from typing import Any

import json_repair
import jsonschema

MAX_CHARACTERS = 32_000
"""Longest reply, thinking apart, that is looked at."""
MAX_REPAIRED = 3_000
"""Longest text that is repaired: an example is half as long, and repair takes time by the square of the length."""

_THINKING = re.compile(r"<(think|thinking|thought|reasoning|reflection)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_BEFORE = re.compile(r"\A.*</(?:think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[a-zA-Z0-9_-]*\s*\n?(.*?)(```|\Z)", re.DOTALL)
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i am sorry|sorry,|i cannot|i can'?t|i am unable|i'?m unable|as an ai\b|i do not have access)",
    re.I,
)
_CLOSED = ("}", '"', "'", "”", ",", "]")
"""How a reply may end whose last value is whole: one cut off inside a value would teach half a sentence."""
_SENTENCE_END = (".", "!", "?", '"', "”", "'", ")", "%")


def parse(reply: str, schema: dict[str, Any]) -> tuple[dict[str, Any] | None, str, str]:
    """Return the object in a reply, a drop reason, and a detail for people; the object is None if there is a reason.

    Thinking is cut off, fences are opened, text around the outermost braces is left out, and what is still not JSON is
    repaired by json_repair. Nothing is accepted that the schema refuses, nor a value that was cut off.

    Reasons: EMPTY_REPLY, REFUSAL, INVALID_JSON, TRUNCATED, INVALID_SCHEMA.
    """
    text = _THOUGHT_BEFORE.sub("", _THINKING.sub("", reply)).strip()
    if not text:
        return None, "EMPTY_REPLY", "nothing but thinking" if reply.strip() else "the reply is empty"
    if len(text) > MAX_CHARACTERS:
        return None, "INVALID_JSON", f"{len(text)} characters"
    found = _object(text)
    if found is None:
        if _REFUSAL.match(text):
            return None, "REFUSAL", text[:200]
        return None, "TRUNCATED" if _cut_off(text) else "INVALID_JSON", text[-200:] if _cut_off(text) else text[:200]
    found = _fit(found, schema)
    problem = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(found)), None)
    if problem is not None:
        return None, "INVALID_SCHEMA", problem.message[:200]
    if full := _stopped_at_limit(found, schema):
        return None, "TRUNCATED", full[-200:]
    return found, "", ""


def _fit(found: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are asked for, whatever the case of their names; a bare number becomes its text."""
    fields = {str(key).strip().lower(): value for key, value in found.items()}
    numbers = {key: str(value) for key, value in fields.items() if type(value) in (int, float)}
    return {key: value for key, value in {**fields, **numbers}.items() if key in schema["properties"]}


def _cut_off(text: str) -> bool:
    return "{" in text and not text.rstrip("` \n").endswith(_CLOSED)


def _stopped_at_limit(found: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return a text that a server cut at the schema's maxLength in mid-sentence, or ""."""
    for field, rules in schema["properties"].items():
        text = found.get(field)
        limit = rules.get("maxLength", 0)
        if isinstance(text, str) and limit and len(text) >= limit and not text.rstrip().endswith(_SENTENCE_END):
            return text
    return ""


def _object(text: str) -> dict[str, Any] | None:
    for candidate in _candidates(text):
        value = _value(candidate)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict) and value:
            return value
    return None


def _value(candidate: str) -> Any:
    """Return the JSON value in a text, repaired if need be; None if there is none, or it was cut off."""
    try:
        return json.loads(candidate)
    except RecursionError:
        return None
    except ValueError:
        if "{" not in candidate or len(candidate) > MAX_REPAIRED or _cut_off(candidate):
            return None
    try:
        return json_repair.loads(candidate)
    except (ValueError, RecursionError):
        return None


def _candidates(text: str) -> list[str]:
    fenced = [m.group(1) for m in _FENCE.finditer(text)]
    start, end = text.find("{"), text.rfind("}")
    outermost = [text[start : end + 1]] if 0 <= start < end else []
    rest = [text[start:]] if start >= 0 else []
    return list(dict.fromkeys([*fenced, *outermost, *rest]))
