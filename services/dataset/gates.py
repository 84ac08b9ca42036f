"""What an example passes after the check of its reply: first gates that look at it alone, then those that compare.

Replies come to the comparison one at a time, in the order of the plan, so that what it decides depends neither on which
reply came first nor on a restart in between.
"""

from __future__ import annotations

from typing import Any

from services.common.documents.port import Document
from services.dataset.core.aim import UNANSWERABLE
from services.dataset.core.compared import compared
from services.dataset.core.doubles import NEAR, Doubles
from services.dataset.core.example import Verdict
from services.dataset.core.gatekeeping import gate
from services.dataset.core.grounding import LEAST
from services.dataset.core.prompts import Template
from services.dataset.core.screening import screen
from services.dataset.spec import Call

_IN_ITS_WORDS = ("TASK_TYPE_QUESTION_ANSWER", "TASK_TYPE_INSTRUCTION")


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

    def screened(self, verdict: Verdict, call: Call) -> Verdict:
        """Return the verdict with what those gates say that need no other example. CPU work: about 1 ms."""
        if self._compares(verdict, call):
            verdict = gate(verdict, call.source, self._spec.get("min_grounding", LEAST))
        policy, canaries = self._spec.get("pii_policy", {}), self._spec.get("canaries", [])
        return screen(verdict, call.source, call.messages, policy, canaries)

    def _compares(self, verdict: Verdict, call: Call) -> bool:
        """Whether the answer is to be in the words of its evidence."""
        asks = self._spec["task_type"] in _IN_ITS_WORDS and not call.aim.language
        return asks and bool(verdict.evidence) and call.aim.question_type != UNANSWERABLE

    def compared(self, verdict: Verdict) -> Verdict:
        """Return the verdict, dropped if it says what an earlier one says; an accepted one is remembered. CPU work."""
        by = compared(self._template, verdict.prompt, verdict.response, verdict.messages, verdict.evidence)
        return self._doubles.judge(verdict, by)

    def recall(self, example: Document) -> Verdict:
        """Remember an example that was judged before, so that later ones are judged as they would have been."""
        said = tuple(example.get("messages") or ())
        evidence = "" if example["edited"] else example["evidence"]
        known = Verdict(
            example["prompt"], example["response"], evidence, drop_reason=example["drop_reason"], messages=said
        )
        return self.compared(known)
