"""The checks of each task type: one module for each, all of the same form: check(found, asked) → Verdict.

`found` is a reply of the right form, `asked` the call that it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.dataset.core.aim import UNANSWERABLE
from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.language import differs
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

_COPIED = ("CLASSIFICATION", "EXTRACTION")
"""Task types whose responses are given words."""


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge one reply that has the right form, by its task type.

    Reasons: those of its checks, and WRONG_LANGUAGE.
    """
    verdict = _CHECKS[asked.template.task](found, asked)
    told = _other_language(verdict, asked)
    if not told:
        return verdict
    return replace(verdict, drop_reason="WRONG_LANGUAGE", detail=f"{told}: {verdict.response}"[:200])


def _other_language(verdict: Verdict, asked: Asked) -> str:
    """Return the language of what the LLM wrote if it is another than the wanted one, or else "".

    Where the document's own language is wanted, this is looked into only if the words of the two do not agree.
    """
    if asked.template.task in _COPIED or asked.aim.labels:
        return ""
    if not asked.aim.language and not verdict.drop_reason.endswith("_NOT_GROUNDED"):
        return ""
    wanted = asked.aim.language or asked.language
    fields = asked.template.fields
    prompt = verdict.prompt if fields.prompt or fields.turns else ""
    response = "" if asked.aim.question_type == UNANSWERABLE else verdict.response
    said = [m["content"] for m in verdict.messages] or [prompt, response]
    return differs(" ".join(part for part in said if part), wanted) if wanted else ""
