"""What an example passes after the check of its reply: gates that know the dataset's other examples.

Replies come to the gates one at a time, in the order of the plan, so that what they decide depends neither on which
reply came first nor on a restart in between.
"""

from __future__ import annotations

from typing import Any

from services.common.documents.port import Document
from services.dataset.core.aim import UNANSWERABLE
from services.dataset.core.doubles import NEAR, Doubles
from services.dataset.core.example import Verdict
from services.dataset.core.gatekeeping import gate
from services.dataset.core.grounding import LEAST
from services.dataset.core.screening import screen
from services.dataset.spec import Call

_IN_ITS_WORDS = ("TASK_TYPE_QUESTION_ANSWER", "TASK_TYPE_INSTRUCTION")


class Gates:
    """The gates of one dataset, made anew for each attempt at it.

    Args:
        spec: the dataset's settings, defaults filled in.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._doubles = Doubles(spec.get("near_duplicate", NEAR))

    def judge(self, verdict: Verdict, call: Call) -> Verdict:
        """Return the verdict with what the gates say of it; an accepted one is remembered. CPU work: about 1 ms."""
        return self._doubles.judge(self._screened(verdict, call))

    def _screened(self, verdict: Verdict, call: Call) -> Verdict:
        if self._compares(verdict, call):
            verdict = gate(verdict, call.source, self._spec.get("min_grounding", LEAST))
        policy, canaries = self._spec.get("pii_policy", {}), self._spec.get("canaries", [])
        return screen(verdict, call.source, call.messages, policy, canaries)

    def _compares(self, verdict: Verdict, call: Call) -> bool:
        """Whether the answer is to be in the words of its evidence."""
        asks = self._spec["task_type"] in _IN_ITS_WORDS and not call.aim.language
        return asks and bool(verdict.evidence) and call.aim.question_type != UNANSWERABLE

    def recall(self, example: Document) -> Verdict:
        """Remember an example that was judged before, so that later ones are judged as they would have been."""
        said = tuple(example.get("messages") or ())
        known = Verdict(example["prompt"], example["response"], drop_reason=example["drop_reason"], messages=said)
        return self._doubles.judge(known)
