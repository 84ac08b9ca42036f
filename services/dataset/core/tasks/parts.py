"""Parts of the checks that several task types share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from services.dataset.core import checks
from services.dataset.core.asked import Asked
from services.dataset.core.evidence import find
from services.dataset.core.words import known_numbers, numbers

LENIENT_SHARE = 0.6
"""Least share of a text's content words that must stand in the chunk where it is worded freely."""

Objection = tuple[str, str]
"""A drop reason and a detail for people; two empty texts for none."""


def first(objections: Iterable[Objection]) -> Objection:
    """Return the first objection, or none; later ones are not even looked for."""
    return next((found for found in objections if found[0]), ("", ""))


def text(value: Any) -> str:
    """Return a reply's value as the text of an example: tidied, or JSON if it is not a text."""
    return checks.tidy(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def lines(value: Any) -> str:
    """Return a reply's value as a text that may have several lines."""
    return "\n".join(" ".join(line.split()) for line in str(value).strip().splitlines()).strip()


def quoted(found: dict[str, Any], asked: Asked) -> tuple[str, tuple[int, int], Objection]:
    """Return the evidence as it stands in the chunk, where it stands, and an objection if it does not.

    Without a quote in the template the evidence is what the call is about.
    """
    field, source = asked.template.fields.evidence, asked.source
    if not field:
        return asked.shown, (asked.passage.start, asked.passage.end), ("", "")
    quote = str(found.get(field) or "")
    where = find(quote, source.text)
    if where is None:
        return "", (0, 0), ("EVIDENCE_NOT_FOUND", quote[:200])
    return source.text[where[0] : where[1]], where, ("", "")


def grounded(words: str, asked: Asked, evidence: str = "", also: str = "") -> Objection:
    """Whether a freely worded text stands in the chunk; in another language than the chunk's, its numbers."""
    if not asked.foreign:
        return checks.of_answer(words, evidence, asked.source, LENIENT_SHARE, also)
    strange = numbers(words) - known_numbers(f"{asked.source.text} {asked.source.topic} {also}")
    return ("ANSWER_NOT_GROUNDED", "not in the source: " + ", ".join(sorted(strange))[:180]) if strange else ("", "")
