"""Examples of users' templates: the mapping says what is what, the grounding how much must stand in the chunk."""

from __future__ import annotations

from typing import Any

from services.dataset.core import checks
from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.prompts import NONE
from services.dataset.core.tasks import chat, parts

MAX_TEXT = 32_000
"""Longest prompt or response, in characters."""


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge a reply by its template's mapping and grounding."""
    fields = asked.template.fields
    if fields.turns:
        return chat.check(found, asked)
    prompt = (
        parts.text(found.get(fields.prompt) or "")
        if fields.prompt
        else asked.template.prompt_of(asked.source, asked.passage, asked.aim)
    )
    said = found.get(fields.response)
    response = parts.lines(said) if isinstance(said, str) else parts.text(said)
    reasoning = parts.lines(found.get(fields.reasoning) or "") if fields.reasoning else ""
    evidence, where, objection = parts.quoted(found, asked)
    free = asked.template.grounding == NONE
    label = asked.aim.labels and "{labels}" in asked.template.system + asked.template.user
    reason, detail = parts.first(
        (
            _lengths(prompt, response),
            checks.of_wording(prompt if fields.prompt else "", response),
            checks.repeated(prompt if fields.prompt else "", response),
            objection,
            ("", "") if free or label else parts.grounded(response, asked, also=reasoning),
        )
    )
    return Verdict(prompt, response, evidence, where, reason, detail, reasoning=reasoning)


def _lengths(prompt: str, response: str) -> parts.Objection:
    if not prompt or response in ("", "null"):
        return "EMPTY_FIELD", "response" if prompt else "prompt"
    if max(len(prompt), len(response)) > MAX_TEXT:
        return "TOO_LONG", f"{len(prompt)} and {len(response)} characters"
    return "", ""
