"""Questions and instructions, with answers that stand in the chunk, or that it does not hold an answer."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from services.dataset.core import checks
from services.dataset.core.aim import UNANSWERABLE
from services.dataset.core.asked import Asked
from services.dataset.core.evidence import find
from services.dataset.core.example import Verdict
from services.dataset.core.tasks import parts
from services.dataset.core.words import content, generic, names, stem, stems

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge a question or instruction by what was asked for."""
    if asked.aim.question_type == UNANSWERABLE:
        return _unanswerable(found, asked)
    if asked.foreign:
        return _foreign(found, asked)
    verdict = checks.check(found, asked.source, asked.template.asks, asked.fact)
    if asked.aim.question_type == "COMPARE" and verdict.evidence:
        # What two things have in common or not stands in two sentences: the quote is one of them.
        start, end = asked.passage.start, asked.passage.end
        return replace(verdict, evidence=asked.shown, evidence_range=(start, end))
    return verdict


def _foreign(found: dict[str, Any], asked: Asked) -> Verdict:
    """In another language than the chunk's: the quote must be found, and every number must stand there."""
    prompt, response = _texts(found, asked)
    evidence, where, objection = parts.quoted(found, asked)
    ends = prompt.endswith(("?", "\uff1f", "\u061f", ";")) or not asked.template.asks
    reason, detail = parts.first(
        (
            checks.of_texts(prompt, response),
            checks.repeated(prompt, response),
            ("", "") if ends else ("NOT_A_QUESTION", prompt[:200]),
            objection,
            parts.grounded(f"{prompt} {response}", asked),
        )
    )
    return Verdict(prompt, response, evidence, where, reason, detail)


def _unanswerable(found: dict[str, Any], asked: Asked) -> Verdict:
    """A question about the same subject that the chunk does not answer. Its response is the configured one.

    What looks like a question that a sentence answers is dropped: all that it asks about stands in one sentence.
    """
    prompt, _ = _texts(found, asked)
    response = asked.aim.refusal
    where = find(str(found.get(asked.template.fields.evidence) or ""), asked.source.text)
    evidence = asked.source.text[where[0] : where[1]] if where else ""
    reason, detail = parts.first(
        (
            # The response is a person's own and may be a refusal: the question stands in for it.
            checks.of_texts(prompt, prompt),
            checks.of_question(prompt, "1 day"),
            _about(prompt, asked),
        )
    )
    return Verdict(prompt, response, evidence, where or (0, 0), reason, detail)


def _about(prompt: str, asked: Asked) -> parts.Objection:
    if asked.foreign:
        return "", ""
    told = frozenset(stem(w) for w in content(prompt) if not generic(w))
    whole = f"{asked.source.text} {asked.source.topic}"
    if not told & stems(whole) and not names(prompt):
        return "QUESTION_NOT_GROUNDED", "about something else: " + prompt[:180]
    for sentence in _SENTENCE.split(asked.source.text):
        if told and told <= stems(f"{sentence} {asked.source.topic}"):
            return "ANSWERABLE", sentence[:200]
    return "", ""


def _texts(found: dict[str, Any], asked: Asked) -> tuple[str, str]:
    fields = asked.template.fields
    return checks.tidy(found.get(fields.prompt) or ""), checks.tidy(found.get(fields.response) or "")
