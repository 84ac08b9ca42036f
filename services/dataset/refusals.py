"""Calls that the LLM's server refuses, such as one with a chunk that is longer than its context.

Their examples are dropped; those that the judge's server refuses are kept without a score, and those that the server of
embeddings refuses are kept uncompared by their vectors. The dataset goes on. But where all are refused alike, something
else is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.dataset.answers import Answer
from services.dataset.core.example import Verdict
from services.dataset.core.ledger import REFUSED_CALL
from services.dataset.gates import Alone
from services.dataset.spec import Call
from services.dataset.tries import CallRefused

IN_A_ROW = 5
"""Chunks in a row, all of whose calls were refused, that are not taken for a matter of these chunks."""


def refused(call: Call, error: CallRefused) -> Answer:
    """Return what stands for the reply to a call that was refused."""
    verdict = Verdict(drop_reason=REFUSED_CALL, detail=str(error)[:200])
    return Answer(call, {"text": "", "completion_tokens": 0}, Alone(verdict), error)


class Refusals:
    """Holds refusals back, in the order of the plan, until a later call was answered.

    What is held back when a dataset pauses is asked again when it is resumed.
    """

    def __init__(self) -> None:
        self._held: list[Answer] = []

    def passed(self, answers: Sequence[Answer]) -> list[Answer]:
        """Return the answers that count by now, in order.

        Raises:
            Unavailable: LLM_UNAVAILABLE, for it refused the calls of IN_A_ROW chunks in a row.
        """
        found: list[Answer] = []
        for answer in answers:
            self._held.append(answer)
            if answer.refusal is None:
                found += self._held
                self._held = []
            elif len({one.call.source.chunk for one in self._held}) >= IN_A_ROW:
                raise answer.refusal
        return found

    def rest(self, answered: bool) -> list[Answer]:
        """Return the refusals after the last answer.

        Args:
            answered: whether any call was answered.

        Raises:
            Unavailable: LLM_UNAVAILABLE, for there was no answer at all.
        """
        left, self._held = self._held, []
        if left and left[0].refusal and not answered:
            raise left[0].refusal
        return left
