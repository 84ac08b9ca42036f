"""What is said of one reply by itself: the checks of its task, the gates that need no other example, the judge."""

from __future__ import annotations

import asyncio

from services.dataset.core import tasks
from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.replies import parse
from services.dataset.gates import Gates
from services.dataset.judge import Judge
from services.dataset.spec import Call, Plan


class Assessor:
    """Looks at replies one by one, whichever comes first; many may be looked at side by side.

    Args:
        judge: None if no LLM is to judge examples.
    """

    def __init__(self, plan: Plan, gates: Gates, judge: Judge | None) -> None:
        self._plan = plan
        self._gates = gates
        self._judge = judge

    @property
    def asks(self) -> bool:
        """Whether an LLM has a say in it; else `screened` says all."""
        return self._judge is not None

    async def assess(self, call: Call, text: str) -> Verdict:
        """Return what is said of a reply, by the judge too.

        Raises:
            BudgetReached: the judge could not be asked within the budget.
            Unavailable: LLM_UNAVAILABLE.
        """
        # Normalising a long chunk takes more than the 10 ms that the event loop may be held.
        screened = await asyncio.to_thread(self.screened, call, text)
        return await self._judge.rate(screened, call) if self._judge and screened.accepted else screened

    def screened(self, call: Call, text: str) -> Verdict:
        """Return what checks and gates say of a reply. CPU work: about 1 ms, more of a long chunk."""
        return self._gates.screened(check(self._plan, call, text), call)


def check(planned: Plan, call: Call, text: str) -> Verdict:
    """Return what the checks say of a reply."""
    found, reason, detail = parse(text, planned.template.schema)
    if found is None:
        return Verdict(drop_reason="REFUSAL_REPLY" if reason == "REFUSAL" else reason, detail=detail)
    return tasks.check(found, Asked(planned.template, call.source, call.passage, call.aim, call.fact))
