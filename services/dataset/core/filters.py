"""The filter of a list of examples: conditions joined by AND, a part of AIP-160."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.common.errors import InvalidArgument
from services.dataset.core import review

FIELDS = {
    "accepted": bool, "edited": bool, "split": str, "drop_reason": str, "file": str, "chunk": str, "task_type": str,
    "language": str, "persona": str, "question_type": str, "state": str, "tag": str, "flag": str, "text": str,
}  # fmt: skip
"""What can be asked for; and scores.NAME, a number."""
SPLITS = ("TRAIN", "EVAL", "RECALL")
STATES = ("APPROVED", "REJECTED", "UNREVIEWED")
_STORED = ("accepted", "edited", "split", "drop_reason", "file", "chunk")
"""Fields that the store itself can compare."""
_CONDITION = re.compile(
    r'\s*([a-z_]+(?:\.[A-Za-z0-9_]+)?)\s*(!=|>=|<=|=|>|<|:)\s*(?:"((?:[^"\\]|\\.)*)"|([A-Za-z0-9_./+-]+))\s*(?:\bAND\b|$)'
)
_NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
Example = Mapping[str, Any]


@dataclass(frozen=True)
class Filter:
    """Which examples are meant.

    Args:
        where: what a store is asked for; see services.common.documents.port.
        tests: what is asked of each example that the store found.
    """

    where: dict[str, Any] = field(default_factory=dict)
    tests: tuple[Callable[[Example], bool], ...] = ()

    def matches(self, example: Example) -> bool:
        """Whether an example that the store found is meant."""
        return all(test(example) for test in self.tests)


def read(text: str) -> Filter:
    """Return a filter: "" means accepted = true, "*" means all.

    Raises:
        InvalidArgument: not of the form `field = value AND …`, an unknown field, or a bad value.
    """
    text = text.strip()
    if text == "*":
        return Filter()
    if not text:
        return Filter({"accepted": True})
    where: dict[str, Any] = {}
    tests: list[Callable[[Example], bool]] = []
    at = 0
    while at < len(text):
        found = _CONDITION.match(text, at)
        if not found or (found.end() == len(text) and found.group().rstrip().endswith(" AND")):
            raise _bad(text[at:])
        name, how, quoted, bare = found.groups()
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
        if name in _STORED and how in ("=", "!=") and name not in where:
            known = _value(name, value)
            where[name] = known if how == "=" else {"$ne": known}
        elif name == "flag" and how == "=":
            where[f"flagged.{_value(name, value)}"] = True
        else:
            tests.append(_test(name, how, value, found.group()))
        at = found.end()
    return Filter(where, tuple(tests))


def _test(name: str, how: str, value: str, whole: str) -> Callable[[Example], bool]:
    """Return what a condition asks of an example."""
    if name.startswith("scores."):
        return _score(name.partition(".")[2], how, value)
    if name not in FIELDS or how not in ("=", "!=", ":"):
        raise _bad(whole)
    wanted = _value(name, value)
    same = {"state": _state, "tag": _tag, "flag": _flag, "text": _text}.get(name, _plain(name))
    return (lambda e: not same(e, wanted)) if how == "!=" else (lambda e: same(e, wanted))


def _score(name: str, how: str, value: str) -> Callable[[Example], bool]:
    compare = _NUMERIC.get(how)
    try:
        number = float(value)
    except ValueError:
        compare = None
    if compare is None:
        raise InvalidArgument(f"scores.{name} is compared with a number by = != > >= < <=.", field="filter")

    def test(example: Example) -> bool:
        found = example.get("scores", {}).get(name)
        return found is not None and compare(found, number)

    return test


def _state(example: Example, wanted: str) -> bool:
    return (review.state(example) or "UNREVIEWED") == wanted


def _tag(example: Example, wanted: str) -> bool:
    return wanted in review.of(example)["tags"]


def _flag(example: Example, wanted: str) -> bool:
    return wanted in example.get("flags", ())


def _text(example: Example, wanted: str) -> bool:
    texts = [example["prompt"], example["response"], *(str(m.get("content", "")) for m in example.get("messages", ()))]
    return any(wanted.lower() in text.lower() for text in texts)


def _plain(name: str) -> Callable[[Example, Any], bool]:
    return lambda example, wanted: bool(example.get(name, "") == wanted)


def _value(name: str, text: str) -> Any:
    if FIELDS[name] is bool:
        if text.lower() not in ("true", "false"):
            raise InvalidArgument(f"{name} is true or false, not {text[:50]}.", field="filter")
        return text.lower() == "true"
    if name == "split":
        side = text.upper().removeprefix("SPLIT_")
        if side not in SPLITS:
            raise InvalidArgument(f"split is one of {', '.join(SPLITS)}, not {text[:50]}.", field="filter")
        return "SPLIT_" + side
    if name == "flag" and not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", text):
        raise InvalidArgument(f"{text[:50]} is no flag. Flags are words such as PII_EMAIL.", field="filter")
    if name == "state" and text.upper() not in STATES:
        raise InvalidArgument(f"state is one of {', '.join(STATES)}, not {text[:50]}.", field="filter")
    return text.upper() if name == "state" else text


def _bad(part: str) -> InvalidArgument:
    return InvalidArgument(
        f'"{part.strip()[:100]}" is not a condition. Write field = value, joined by AND; fields are '
        f"{', '.join(FIELDS)} and scores.NAME.",
        field="filter",
    )
