"""What an example passes after the check of its reply: first gates that look at it alone, then those that compare.

Replies come to the comparison one at a time, in the order of the plan, so that what it decides depends neither on which
reply came first nor on a restart in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.common.documents.port import Document
from services.dataset.core.aim import UNANSWERABLE
from services.dataset.core.alike import Alike
from services.dataset.core.compared import Compared, compared
from services.dataset.core.doubles import NEAR, Doubles
from services.dataset.core.example import Verdict
from services.dataset.core.gatekeeping import gate
from services.dataset.core.grounding import LEAST
from services.dataset.core.ledger import short
from services.dataset.core.prompts import Template
from services.dataset.core.screening import screen
from services.dataset.core.vectors import Vector
from services.dataset.spec import Call

_IN_ITS_WORDS = ("TASK_TYPE_QUESTION_ANSWER", "TASK_TYPE_INSTRUCTION")


@dataclass(frozen=True)
class Alone:
    """What is said of an example by itself, and the vector of its text if it is to be compared by that."""

    verdict: Verdict
    vector: Vector | None = None


class Gates:
    """The gates of one dataset, made anew for each attempt at it.

    Args:
        spec: the dataset's settings, defaults filled in.
        template: its prompt template.
    """

    def __init__(self, spec: dict[str, Any], template: Template) -> None:
        self._spec = spec
        self._template = template
        self._doubles = Doubles(spec.get("near_duplicate", NEAR))
        semantic = spec.get("semantic_duplicates")
        self._alike = Alike(semantic["threshold"]) if semantic else None

    def screened(self, verdict: Verdict, call: Call) -> Verdict:
        """Return the verdict with what those gates say that need no other example. CPU work: about 1 ms."""
        if self._compares(verdict, call):
            verdict = gate(verdict, call.source, self._spec.get("min_grounding", LEAST))
        policy, canaries = self._spec.get("pii_policy", {}), self._spec.get("canaries", [])
        return screen(verdict, call.source, [call.system], policy, canaries)

    def _compares(self, verdict: Verdict, call: Call) -> bool:
        """Whether the answer is to be in the words of its evidence."""
        asks = self._spec["task_type"] in _IN_ITS_WORDS and not call.aim.language
        return asks and bool(verdict.evidence) and call.aim.question_type != UNANSWERABLE

    def by(self, verdict: Verdict) -> Compared:
        """Return what an example is compared by."""
        return compared(self._template, verdict.prompt, verdict.response, verdict.messages, verdict.evidence)

    def compared(self, alone: Alone, id: str) -> Verdict:
        """Return the verdict, dropped if it says what an earlier one says; an accepted one is remembered. CPU work.

        Args:
            id: the example's.
        """
        by, alike, vector = self.by(alone.verdict), self._alike, alone.vector
        if alike is None or vector is None:
            return self._doubles.judge(alone.verdict, by)
        return self._doubles.judge(alone.verdict, by, lambda verdict: alike.judge(id, verdict, by.whole, vector))

    def recall(self, example: Document, vector: Vector | None) -> Verdict:
        """Remember an example that was judged before, so that later ones are judged as they would have been."""
        return self.compared(Alone(known(example), vector), short(example["_id"]))


def known(example: Document) -> Verdict:
    """Return what was said of an example, as far as others are compared with it."""
    said = tuple(example.get("messages") or ())
    evidence = "" if example["edited"] else example["evidence"]
    return Verdict(example["prompt"], example["response"], evidence, drop_reason=example["drop_reason"], messages=said)
