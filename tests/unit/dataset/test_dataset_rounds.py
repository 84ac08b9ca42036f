"""Rounds beyond the plan: further passages first, then other seeds; personas and kinds of question go on by turn."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from services.dataset import rounds
from services.dataset.core.example import Source
from tests.fakes.ingest import text

SPEC: dict[str, Any] = {
    "task_type": "TASK_TYPE_QUESTION_ANSWER", "examples_per_chunk": 2, "max_examples": 0, "accepted_examples": 16,
    "temperature": 0.3, "seed": 0, "llm_endpoint": "l", "max_tokens": 9,
}  # fmt: skip
KINDS = ["QUESTION_TYPE_FACT", "QUESTION_TYPE_WHY", "QUESTION_TYPE_UNANSWERABLE"]
PERSONAS = ["a cook", "an auditor", "a pilot"]
SOURCES = [Source(f"c{n}", f"f{n // 2}", "f.md", text(n, 6)) for n in range(4)]


def made(spec: dict[str, Any]) -> tuple[rounds.Maker, list[list[Any]]]:
    """The maker of a dataset, and the calls of its first rounds, of one more each time."""
    template = {"version": "question-types/1"} if spec.get("question_types") else {}
    maker = rounds.Maker({"spec": spec, "prompt_template": template}, "m", SOURCES)
    return maker, [list(rounds.planned(spec, n, maker).calls) for n in range(1, len(rounds.specs(spec)) + 1)]


@pytest.mark.parametrize("kinds", [[], KINDS])
@pytest.mark.parametrize("personas", [[], PERSONAS])
def test_later_rounds_ask_what_was_not_asked(kinds: list[str], personas: list[str]) -> None:
    """No place is asked about again before other seeds are, or twice for one kind; earlier calls stay as they were."""
    spec = {**SPEC, "question_types": kinds, "personas": personas}
    maker, all_rounds = made(spec)
    wide = len([s for s in rounds.specs(spec) if s["seed"] == spec["seed"]])

    assert len(all_rounds[-1]) == maker.most(spec)
    for earlier, later in pairwise(all_rounds):
        assert later[: len(earlier)] == earlier
    asked = Counter((c.source.chunk, c.passage.start, c.aim.question_type) for c in all_rounds[wide - 1])
    assert set(asked.values()) == {1}
    assert len({c.id for c in all_rounds[-1]}) == len(all_rounds[-1])


def test_personas_and_kinds_of_later_rounds_go_on_by_turn() -> None:
    """Each persona asks as often as another one, give or take one; each kind is asked as often as another one."""
    _, by_persona = made({**SPEC, "personas": PERSONAS})
    _, by_kind = made({**SPEC, "question_types": KINDS})

    for calls in by_persona[:3]:
        shares = Counter(c.aim.persona for c in calls)
        assert max(shares.values()) - min(shares.values()) <= 1
    shares = Counter(c.aim.question_type for c in by_kind[-1])
    assert len(set(shares.values())) == 1
