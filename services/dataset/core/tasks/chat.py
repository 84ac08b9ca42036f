"""Conversations of several exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.dataset.core import checks
from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.tasks import parts

MIN_TURN = 4
"""Shortest turn of a user's after the first, in characters: "Why?"."""


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge a conversation: each answer stands in the chunk, nobody repeats himself, and the quote is found."""
    turns = exchanges(found.get(asked.template.fields.turns))
    if not turns:
        return Verdict(drop_reason="EMPTY_FIELD", detail="no turns")
    evidence, where, objection = parts.quoted(found, asked)
    reason, detail = parts.first((*_objections(turns), objection, *_answers(turns, asked)))
    messages = tuple(
        {"role": role, "content": said}
        for turn in turns
        for role, said in zip(("user", "assistant"), turn, strict=True)
    )
    return Verdict(turns[0][0], turns[-1][1], evidence, where, reason, detail, messages=messages)


def exchanges(value: Any) -> list[tuple[str, str]]:
    """Return (user, assistant) of each exchange of a reply, tidied."""
    items = value if isinstance(value, list) else []
    return [(checks.tidy(t.get("user", "")), checks.tidy(t.get("assistant", ""))) for t in items if isinstance(t, dict)]


def _objections(turns: list[tuple[str, str]]) -> Iterator[parts.Objection]:
    yield checks.of_texts(*turns[0])
    for place, (user, assistant) in enumerate(turns[1:], start=1):
        if not user or not assistant:
            yield "EMPTY_FIELD", f"exchange {place + 1}"
        if len(user) < MIN_TURN:
            yield "TOO_SHORT", user
        yield checks.of_wording(user, assistant)
        if user.lower() in [before.lower() for before, _ in turns[:place]]:
            yield "REPEATED_TURN", user[:200]
        if assistant.lower() in [before.lower() for _, before in turns[:place]]:
            yield "REPEATED_TURN", assistant[:200]


def _answers(turns: list[tuple[str, str]], asked: Asked) -> Iterator[parts.Objection]:
    for _, assistant in turns:
        yield parts.grounded(assistant, asked)
