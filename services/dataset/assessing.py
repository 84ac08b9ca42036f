"""What is said of one reply by itself: the checks of its task, the gates that need no other example, the judge.

And what else is asked of a server about it: the vector of its text.
"""

from __future__ import annotations

import asyncio

from services.common.documents.port import Document
from services.dataset.core import tasks
from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.judging import UNJUDGED
from services.dataset.core.replies import cut_in_thought, parse
from services.dataset.core.vectors import Vector
from services.dataset.core.ways import UNCOMPARED
from services.dataset.embedder import Embedder
from services.dataset.gates import Alone, Gates, known
from services.dataset.judge import Judge
from services.dataset.spec import Call, Plan
from services.dataset.tries import CallRefused


class Assessor:
    """Looks at replies one by one, whichever comes first; many may be looked at side by side.

    Args:
        judge: None if no LLM is to judge examples.
        embedder: None if examples are not to be compared by their vectors.
        max_tokens: most tokens of a reply.
    """

    def __init__(
        self, plan: Plan, gates: Gates, judge: Judge | None, embedder: Embedder | None, max_tokens: int
    ) -> None:
        self._plan = plan
        self._gates = gates
        self._judge = judge
        self._embedder = embedder
        self._max_tokens = max_tokens

    @property
    def asks(self) -> bool:
        """Whether a server has a say in it; else `screened` says all."""
        return self._judge is not None or self._embedder is not None

    async def assess(self, call: Call, reply: Document) -> tuple[Alone, CallRefused | None]:
        """Return what is said of the record of a reply, by the judge too, and the vector of an accepted example.

        Returns: also what a server said if it refused the call: the example has then a flag, and no score or no vector.

        Raises:
            BudgetReached: a server could not be asked within the budget.
            Unavailable: LLM_UNAVAILABLE.
        """
        # Normalising a long chunk takes more than the 10 ms that the event loop may be held.
        verdict = await asyncio.to_thread(self.screened, call, reply)
        refusal = None
        if self._judge and verdict.accepted:
            try:
                verdict = await self._judge.rate(verdict, call)
            except CallRefused as error:
                verdict, refusal = verdict.flagged(UNJUDGED), error
        if self._embedder and verdict.accepted:
            try:
                return Alone(verdict, await self._embedder.vector(self._gates.by(verdict).whole)), refusal
            except CallRefused as error:
                return Alone(verdict.flagged(UNCOMPARED)), refusal or error
        return Alone(verdict), refusal

    async def recalled(self, example: Document) -> Vector | None:
        """Return the vector of an example that was judged before; None if it has none. Nothing is bought."""
        return await self._embedder.known(self._gates.by(known(example)).whole) if self._embedder else None

    def screened(self, call: Call, reply: Document) -> Verdict:
        """Return what checks and gates say of the record of a reply. CPU work: about 1 ms, more of a long chunk."""
        text = reply["text"]
        if cut := cut_in_thought(text, reply.get("finish_reason", ""), self._max_tokens):
            return Verdict(drop_reason="TRUNCATED", detail=cut)
        return self._gates.screened(check(self._plan, call, text), call)


def check(planned: Plan, call: Call, text: str) -> Verdict:
    """Return what the checks say of a reply."""
    found, reason, detail = parse(text, planned.template.schema)
    if found is None:
        return Verdict(drop_reason="REFUSAL_REPLY" if reason == "REFUSAL" else reason, detail=detail)
    return tasks.check(found, Asked(planned.template, call.source, call.passage, call.aim, call.fact))
