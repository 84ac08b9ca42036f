"""Questions whose answers take a step of thought; the thought is kept apart from the answer."""

from __future__ import annotations

from typing import Any

from services.dataset.core import checks
from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.tasks import parts
from services.dataset.core.words import numbers, stems

MIN_REASONING = 20


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge question, reasoning and answer.

    The reasoning rests on the chunk, and the answer on the chunk or on the reasoning: it may have a number that was
    worked out there.
    """
    fields = asked.template.fields
    prompt, response = checks.tidy(found.get(fields.prompt) or ""), checks.tidy(found.get(fields.response) or "")
    reasoning = parts.lines(found.get(fields.reasoning) or "")
    evidence, where, objection = parts.quoted(found, asked)
    reason, detail = parts.first(
        (
            checks.of_texts(prompt, response),
            checks.repeated(prompt, response),
            ("", "") if not asked.template.asks or asked.foreign else checks.of_question(prompt, response),
            _thought(reasoning, asked),
            objection,
            parts.grounded(response, asked, also=reasoning),
        )
    )
    return Verdict(prompt, response, evidence, where, reason, detail, reasoning=reasoning)


def _thought(reasoning: str, asked: Asked) -> parts.Objection:
    if len(reasoning) < MIN_REASONING:
        return "NO_REASONING", reasoning
    objection = checks.of_wording("", reasoning)
    if objection[0]:
        return objection
    # Some of its words must be the chunk's; it may count, so that other numbers than the chunk's may stand in it.
    told, known = stems(reasoning) - numbers(reasoning), stems(asked.source.text + " " + asked.source.topic)
    if not asked.foreign and len(told & known) < parts.LENIENT_SHARE / 2 * len(told):
        return "REASONING_NOT_GROUNDED", "not in the source: " + ", ".join(sorted(told - known))[:180]
    return "", ""
