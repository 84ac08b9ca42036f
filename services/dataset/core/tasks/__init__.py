"""The checks of each task type: one module for each, all of the same form: check(found, asked) → Verdict.

`found` is a reply of the right form, `asked` the call that it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.tasks import chat, classification, custom, extraction, question, reasoning, summary

_CHECKS: dict[str, Callable[[dict[str, Any], Asked], Verdict]] = {
    "QUESTION_ANSWER": question.check,
    "INSTRUCTION": question.check,
    "CHAT": chat.check,
    "SUMMARY": summary.check,
    "CLASSIFICATION": classification.check,
    "EXTRACTION": extraction.check,
    "REASONING": reasoning.check,
    "TEMPLATE": custom.check,
}


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge one reply that has the right form, by its task type."""
    return _CHECKS[asked.template.task](found, asked)
