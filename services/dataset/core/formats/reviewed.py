"""Preferences and verdicts out of what people decided about a dataset's examples; nothing is made up."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.dataset.core import frozen, review
from services.dataset.core.formats import frozenrow
from services.dataset.core.formats.record import Record, Refused

Found = Record | Refused


def verdicts(examples: Sequence[Mapping[str, Any]], system_prompt: str) -> Iterator[Found]:
    """Yield each example that a person approved or rejected, with that as its label; the others as left out."""
    for example in examples:
        state = review.state(example)
        if not state:
            yield _unreviewed()
        else:
            yield _labelled(example, system_prompt, state == review.APPROVED)


def preferences(examples: Sequence[Mapping[str, Any]], system_prompt: str) -> Iterator[Found]:
    """Yield each rejected example beside an approved one that answers the same; the others as left out.

    The first rejected answer to a prompt stands beside the first approved one, and so on, in the examples' order.
    """
    approved: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    rejected: dict[str, int] = defaultdict(int)
    for example in examples:
        if review.state(example) == review.APPROVED:
            approved[_asked(example)].append(example)
    for example in examples:
        state, asked = review.state(example), _asked(example)
        if not state:
            yield _unreviewed()
        elif example.get("raw"):
            yield Refused("RAW_TEXT", "The example is raw text, which answers nothing.")
        elif state == review.APPROVED:
            yield Refused("STANDS_AS_CHOSEN", "It stands beside a rejected one, or waits for one.")
        elif rejected[asked] >= len(approved[asked]):
            yield Refused("NO_APPROVED_ANSWER", "Nobody has approved another answer to the same prompt.")
        else:
            better = approved[asked][rejected[asked]]
            rejected[asked] += 1
            yield _pair(better, example, system_prompt)


def _labelled(example: Mapping[str, Any], system_prompt: str, wanted: bool) -> Found:
    if not (example["prompt"] and example["response"]):
        return Refused("NO_TEXT", "The reply had no text to learn from.")
    return dataclasses.replace(_record(example, system_prompt), label=wanted)


def _pair(better: Mapping[str, Any], worse: Mapping[str, Any], system_prompt: str) -> Found:
    chosen, other = _record(better, system_prompt), _record(worse, system_prompt)
    if chosen.answers == other.answers or not worse["response"]:
        return Refused("SAME_ANSWERS", "Both answers are the same, or the rejected one is empty.")
    return dataclasses.replace(chosen, rejected=other.answers)


def _record(example: Mapping[str, Any], system_prompt: str) -> Record:
    return frozenrow.record(json.loads(frozen.line(example, system_prompt)))


def _asked(example: Mapping[str, Any]) -> str:
    """Return what an example answers: all before its last message, and the tools."""
    before = list(example.get("messages") or ())[:-1]
    return json.dumps([example["prompt"], before, example.get("tools", "")], sort_keys=True)


def _unreviewed() -> Refused:
    return Refused("NOT_REVIEWED", "Nobody has decided about it, or it was changed since.")
