"""Summaries of a chunk."""

from __future__ import annotations

from typing import Any

from services.dataset.core import checks
from services.dataset.core.asked import Asked
from services.dataset.core.evidence import find
from services.dataset.core.example import Verdict
from services.dataset.core.tasks import parts

MOST_SHARE = 0.7
"""Longest summary, as a share of the text's characters."""
MIN_SUMMARY = 20


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge a summary: much shorter than the text, no mere cutting from it, nothing in it that the text lacks."""
    summary = parts.lines(found.get(asked.template.fields.response) or "")
    prompt = asked.template.prompt_of(asked.source, asked.passage, asked.aim)
    text = asked.shown
    evidence, where, _ = parts.quoted(found, asked)
    reason, detail = parts.first((_form(summary, text), checks.of_wording("", summary), parts.grounded(summary, asked)))
    return Verdict(prompt, summary, evidence, where, reason, detail)


def _form(summary: str, text: str) -> parts.Objection:
    if not summary:
        return "EMPTY_FIELD", "response"
    if len(summary) < MIN_SUMMARY:
        return "TOO_SHORT", summary
    if len(summary) > MOST_SHARE * len(text):
        return "NOT_SHORTER", f"{len(summary)} characters for {len(text)}"
    if find(summary, text) is not None:
        return "SUMMARY_COPIES_TEXT", summary[:200]
    return "", ""
