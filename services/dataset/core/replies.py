"""From an LLM's reply to a JSON object of the right form, or the reason why not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import json_repair
import jsonschema
import referencing

from services.dataset.core import mending, thoughts
from services.dataset.core.metered import Metered, Reads

_NOTHING: referencing.Registry[Any] = referencing.Registry()
"""Where references of a schema are looked for: without it, the validator would open their addresses."""
MAX_CHARACTERS = 32_000
"""Longest reply, thinking apart, that is looked at."""
MAX_READS = 300_000
"""Characters that may be read to repair one reply: of most each is read at most six times, but a list of texts without
commas, say, by the square of its length."""
MAX_BRACES = 60
"""Places at which an object is looked for."""
MAX_FENCES = 5
MAX_DEPTH = 4
"""Wrappers round the object that are opened: {"result": {"examples": [{…}]}}."""

IN_THOUGHT = "ended while it was thinking"
"""What the words about such a reply have."""

_FENCE = re.compile(r"(?:```|~~~)[a-zA-Z0-9_-]*\s*\n?(.*?)(?:```|~~~|\Z)", re.DOTALL)
_CLOSED = ("}", '"', "'", "”", ",", "]")
"""How a reply may end whose last value is whole: one cut off inside a value would teach half a sentence."""
_SENTENCE_END = (".", "!", "?", '"', "”", "'", ")", "%", "。", "！", "？")
_COMMENT = re.compile(r"(^|[{\[,])[ \t]*(?://|#)[^\n\"]*$|/\*[^*\"]*\*/", re.MULTILINE)
_HALF = re.compile("[\ud800-\udfff]")
_OF_OBJECTS = frozenset(("type", "properties", "required", "additionalProperties"))
_OF_TEXTS = frozenset(("type", "minLength", "maxLength", "description", "title"))


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


def _number(text: str) -> _Number | None:
    return _Number(text) if math.isfinite(float(text)) else None


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_Number, parse_constant=lambda _: None, strict=False)


def parse(reply: str, schema: dict[str, Any]) -> tuple[dict[str, Any] | None, str, str]:
    """Return the object in a reply, a drop reason, and a detail for people; the object is None if there is a reason.

    Thinking is cut off, fences and wrappers are opened, text round the object is left out. Of several objects the first
    that the schema takes counts. What is no JSON is mended: by the fields' names if all are texts, or else by
    json_repair. Nothing is accepted that the schema refuses, nor a value that was cut off.

    Reasons: EMPTY_REPLY, REFUSAL, INVALID_JSON, TRUNCATED, INVALID_SCHEMA.
    """
    text = thoughts.answer(reply)
    if not text:
        return None, "EMPTY_REPLY", "nothing but thinking" if reply.strip() else "the reply is empty"
    if len(text) > MAX_CHARACTERS:
        return None, "INVALID_JSON", f"{len(text)} characters"
    problem = ""
    for value, repaired in _values(text, schema):
        for candidate in _objects(value, 0):
            found = _fit(candidate, schema)
            if repaired and not found:
                continue
            if _plainly_right(found, schema):
                return _whole(found, schema)
            wrong = next(iter(_validator(json.dumps(schema)).iter_errors(found)), None)
            if wrong is None:
                return _whole(found, schema)
            problem = problem or wrong.message[:200]
    if problem and not _open(text):
        return None, "INVALID_SCHEMA", problem
    if thoughts.refuses(text):
        return None, "REFUSAL", text[:200]
    return (None, "TRUNCATED", text[-200:]) if _open(text) else (None, "INVALID_JSON", text[:200])


def cut_in_thought(text: str, finish_reason: str, max_tokens: int) -> str:
    """Return what to say of a reply that came to max_tokens before there was an answer in it; "" of any other.

    Args:
        finish_reason: why it ended, as its server says.
    """
    if finish_reason != "length" or thoughts.answer(text):
        return ""
    return f"max_tokens {max_tokens} ended while it was thinking: raise --max-tokens (`ftf run`: --reply-tokens)"


def _plainly_right(found: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Whether a schema that asks for texts alone takes an object: most do, and the validator takes ten times as long.

    Args:
        found: an object without any field that the schema does not name.
    """
    rules = schema["properties"]
    odd = schema.keys() - _OF_OBJECTS or schema.get("type", "object") != "object"
    if odd or any(r.keys() - _OF_TEXTS or r.get("type") != "string" for r in rules.values()):
        return False
    return all(name in found for name in schema.get("required", ())) and all(
        isinstance(text, str)
        and rules[name].get("minLength", 0) <= len(text) <= rules[name].get("maxLength", len(text))
        for name, text in found.items()
    )


@lru_cache(maxsize=64)
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    """Return what checks values by a schema, given as JSON: making it takes longer than a check."""
    return jsonschema.Draft202012Validator(json.loads(schema), registry=_NOTHING)


def _whole(found: dict[str, Any], schema: dict[str, Any]) -> tuple[dict[str, Any] | None, str, str]:
    """Refuse an object with a text that was cut, or that holds half a character."""
    if full := _stopped_at_limit(found, schema):
        return None, "TRUNCATED", full[-200:]
    texts = all(isinstance(value, str) for value in found.values())
    if _HALF.search("".join(found.values()) if texts else json.dumps(found, ensure_ascii=False)):
        return None, "INVALID_JSON", "half of a surrogate pair"
    return found, "", ""


def _fit(found: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are asked for, whatever the case of their names and the marks round them.

    Where a text is asked for, a number becomes its text as it was written, and a list of one text that text.
    """
    names = {name.lower(): name for name in schema["properties"]}
    fitting: dict[str, Any] = {}
    for key, value in found.items():
        bare = re.sub(r"^[\W_\d]+|[\W_]+$", "", str(key)).lower()
        name = names.get(str(key).lower()) or names.get(bare)
        if name is None:
            continue
        wants_text = schema["properties"][name].get("type") == "string"
        if wants_text and isinstance(value, list) and len(value) == 1:
            value = value[0]
        fitting[name] = str(value) if wants_text and isinstance(value, _Number) else _counted(value)
    return fitting


def _counted(value: Any) -> Any:
    """Return a value with the numbers in it as numbers."""
    if isinstance(value, _Number):
        try:
            return int(value)
        except ValueError:
            return float(value)
    if isinstance(value, dict):
        return {str(key): _counted(one) for key, one in value.items()}
    return [_counted(one) for one in value] if isinstance(value, list) else value


def _open(text: str) -> bool:
    """Whether an object was begun and not ended."""
    start = text.find("{")
    return start >= 0 and text.count("{", start) > text.count("}", start)


def _stopped_at_limit(found: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return a text that a server cut at the schema's maxLength in mid-sentence, or ""."""
    for field, rules in schema["properties"].items():
        text = found.get(field)
        limit = rules.get("maxLength", 0)
        if isinstance(text, str) and limit and len(text) >= limit and not text.rstrip().endswith(_SENTENCE_END):
            return text
    return ""


def _objects(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield the objects in a value, the outer ones first."""
    if isinstance(value, str) and value.lstrip().startswith("{") and depth:
        for inner in _decoded(value):
            yield from _objects(inner, depth + 1)
    if depth > MAX_DEPTH or not isinstance(value, dict | list):
        return
    if isinstance(value, dict) and value:
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        yield from _objects(inner, depth + 1)


def _values(text: str, schema: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Yield what the text may mean, the surest first, and whether it was repaired."""
    yield from ((value, False) for value in _decoded(text))
    properties = schema["properties"]
    texts = all(rules.get("type") == "string" for rules in properties.values())
    reads = Reads(MAX_READS)
    for candidate in _candidates(mending.plain(text)):
        yield from ((value, False) for value in (_decoded(candidate) if candidate not in text else ()))
        mended = mending.fields(candidate, list(properties)) if texts else None
        repaired = mended or _repaired(_COMMENT.sub(r"\1", candidate), reads)
        if repaired is not None:
            yield repaired, True


def _decoded(text: str) -> Iterator[Any]:
    """Yield the JSON values that begin with a brace or are a list or a text, one after the other."""
    place = 0
    for _ in range(MAX_BRACES):
        places = [at for at in (text.find("{", place), text.find('"{', place)) if at >= 0]
        if not places:
            return
        place = min(places)
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        yield [value]


def _repaired(candidate: str, reads: Reads) -> Any:
    """Return the JSON value that a text was meant to be; None if there is none, it was cut off, or words were lost, or
    finding it takes more than may be read.
    """
    within = candidate.count("[") > candidate.count("]")
    closed = not _open(candidate) or (candidate.rstrip("` \n").endswith(_CLOSED) and not within)
    if "{" not in candidate or not closed:
        return None
    try:
        value = json.loads(json.dumps(json_repair.loads(Metered(candidate, reads))))
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    said = re.sub(r"[\W_]", "", mending.unescape(candidate))
    return value if all(re.sub(r"[\W_]", "", text) in said for text in _texts(value)) else None


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def _candidates(text: str) -> list[str]:
    """Return the parts of a text that may be the object: fenced, from the first brace to the last, all.

    From brace to brace not if more of the object follows: it was cut off later.
    """
    fenced = [m.group(1) for m in islice(_FENCE.finditer(text), MAX_FENCES)]
    start, end = text.find("{"), text.rfind("}")
    outermost = [text[start : end + 1]] if 0 <= start < end else []
    if outermost and _open(outermost[0]) and text[end + 1 :].lstrip().startswith((",", "]")):
        outermost = []  # it is not whole: more of it follows
    rest = [text[start:]] if start >= 0 else []
    return [part for part in dict.fromkeys([*fenced, *outermost, *rest, text]) if len(part) <= MAX_CHARACTERS]
