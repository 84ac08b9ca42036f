"""Generating a dataset: calls made side by side, their replies judged in the order of the plan.

Since replies are judged in order, the dataset does not depend on which reply came first, nor on a restart in between:
with an LLM that answers the same again, an interrupted dataset equals an uninterrupted one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, NotFound, NotReady
from services.common.resources import Mutate
from services.common.work import Claim, OnHold, Superseded
from services.dataset import rounds
from services.dataset.absence import kept, telling
from services.dataset.answers import Answer, arrived
from services.dataset.askers import Askers, askers
from services.dataset.assessing import Assessor
from services.dataset.core.example import Verdict
from services.dataset.core.vectors import Vector
from services.dataset.endpoints import Endpoints
from services.dataset.estimating import Estimator
from services.dataset.freezing import Freezer
from services.dataset.gates import Alone, Gates
from services.dataset.llm import PATIENCE_SECONDS
from services.dataset.ports import Document as File
from services.dataset.ports import Documents
from services.dataset.refusals import Refusals, refused
from services.dataset.rounds import specs
from services.dataset.sources import sources_of
from services.dataset.spec import Call, Plan
from services.dataset.spending import BudgetReached
from services.dataset.store import Calls, Examples, example_id
from services.dataset.tally import Tally
from services.dataset.tries import CallRefused

TELL_SECONDS = 0.4
ACCEPTED = "ACCEPTED_REACHED"
MOST_WRITING = 16
"""Batches of examples that are being stored."""
MAX_AHEAD = 4
"""Replies waiting to be judged, per call in flight: bounds the memory when an early call is slow."""


_LLM_IS_AWAY = frozenset({"LLM_UNAVAILABLE", "NO_LLM_ENDPOINT", "LLM_NOT_ALLOWED"})


class Generator:
    """Does the work of a dataset; see services.common.workloop.Handler.

    Args:
        patience: seconds that an LLM may be away before the dataset is paused.
    """

    def __init__(
        self,
        documents: Documents,
        endpoints: Endpoints,
        calls: Calls,
        examples: Examples,
        freezer: Freezer,
        estimator: Estimator,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._documents = documents
        self._endpoints = endpoints
        self._calls = calls
        self._examples = examples
        self._freezer = freezer
        self._estimator = estimator
        self._patience = patience

    async def __call__(self, claim: Claim) -> Mutate:
        """Generate, judge, split and freeze.

        Raises:
            NotReady: NO_ACCEPTED_EXAMPLES or NOT_CHUNKED.
            OnHold: LLM_UNAVAILABLE, NO_LLM_ENDPOINT or LLM_NOT_ALLOWED.
        """
        try:
            return await self._generate(claim)
        except FineTuneFlowError as error:
            if error.reason in _LLM_IS_AWAY:
                raise OnHold(kept(error)) from error
            raise

    async def _generate(self, claim: Claim) -> Mutate:
        spec = claim.doc["spec"]
        client = await self._endpoints.client(spec["llm_endpoint"])
        files = [File(**f) for f in claim.doc["files"]]
        sources = await sources_of(self._documents, files)
        make = await asyncio.to_thread(rounds.Maker, claim.doc, client.endpoint.model, sources)
        for turn in range(claim.doc.get("rounds", 1), len(specs(spec)) + 1):
            await claim.update(_round(turn))
            planned = await asyncio.to_thread(rounds.planned, spec, turn, make)
            if "estimate" not in claim.doc:
                await self._keep_estimate(claim, planned, make)
            await self._freezer.accounts.keep(claim, planned, sources)
            asked = await askers(claim.doc, self._endpoints, self._calls, self._patience)
            run = _Run(claim, asked, planned, self._examples)
            async with telling(claim, asked.clients):
                await run.to_the_end()
            if run.stop_reason or not spec.get("accepted_examples"):
                break
        else:
            run.stop_reason = "NOTHING_MORE_TO_ASK"
        if not run.tally.accepted:
            raise NotReady(run.tally.nothing_accepted(), reason="NO_ACCEPTED_EXAMPLES")
        return await self._freezer.first_version(claim.doc, run.final)

    async def _keep_estimate(self, claim: Claim, planned: Plan, make: rounds.Maker) -> None:
        endpoint = await self._endpoints.resources.get(claim.doc["spec"]["llm_endpoint"])
        found = await self._estimator.of_plan(claim.doc, planned, endpoint, make)

        def keep(doc: Document) -> None:
            doc["estimate"] = found

        await claim.update(keep)


def _round(turn: int) -> Mutate:
    def note(doc: Document) -> None:
        doc["rounds"] = turn

    return note


class _Run:
    """One attempt at one dataset."""

    def __init__(self, claim: Claim, asked: Askers, planned: Plan, examples: Examples) -> None:
        self._claim = claim
        self._spending = asked.spending
        self._asker = asked.asker
        self._plan = planned
        self._examples = examples
        self._spec: dict[str, Any] = claim.doc["spec"]
        self._gates = Gates(self._spec, planned.template)
        self._refusals = Refusals()
        self._assessor = Assessor(planned, self._gates, asked.judge, asked.embedder, self._spec["max_tokens"])
        self._began = time.monotonic()
        self._earlier = float(claim.doc["usage"]["seconds"])
        self._told = 0.0
        self._known: set[str] = set()
        self._writing: set[asyncio.Task[None]] = set()
        self.tally = Tally(planned)
        self.stop_reason = ""

    async def to_the_end(self) -> None:
        """Make what calls are missing and judge every reply, until the plan or the limit is reached."""
        await self._spending.begin()
        self._known = await self._examples.keep_only(self._claim.doc, self._plan.calls)
        pending: deque[asyncio.Task[Answer]] = deque()
        calls, index = self._plan.calls, 0
        try:
            while index < len(calls):
                if self._enough():
                    self.tally.calls_dropped[self.stop_reason] += len(calls) - index
                    break
                ahead = calls[index + len(pending) : index + self._window()]
                pending.extend(asyncio.create_task(self._answer(c)) for c in ahead)
                try:
                    replies = await arrived(pending)
                except BudgetReached as reached:
                    # Later calls may have been answered before a restart: what was paid for is used.
                    self.stop_reason = reached.reason
                    self.tally.calls_dropped[reached.reason] += 1
                    index += 1
                    continue
                index += len(replies)
                await _to_its_end(self._judge(self._refusals.passed(replies)))
                await self._tell()
            await _to_its_end(self._judge(self._refusals.rest(answered=self.tally.judged > 0)))
            self._enough()
            await self._written()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, *self._writing, return_exceptions=True)
            await self._leave()

    async def _leave(self) -> None:
        """However it ends, make the counts those of the examples that are there."""
        uid = self._claim.doc["uid"]
        try:
            await self._claim.update(self.final, even_if_cancelling=True)
        except Superseded as error:
            if isinstance(error.__cause__, NotFound):
                # Deleted meanwhile: what was written after the purge goes too.
                await self._spending.forget()
                await self._examples.delete(uid)

    def _window(self) -> int:
        """Return how many replies may wait or be on their way; never more than could still be wanted."""
        most = [n - self.tally.accepted for n, _ in self._limits()]
        return min([MAX_AHEAD * self._asker.at_once, *most])

    def _limits(self) -> list[tuple[int, str]]:
        found = ((self._spec["max_examples"], "LIMIT_REACHED"), (self._spec.get("accepted_examples", 0), ACCEPTED))
        return [(most, reason) for most, reason in found if most]

    def _enough(self) -> bool:
        """Whether there are as many examples as are wanted; stop_reason then says by which setting."""
        reached = [reason for most, reason in self._limits() if self.tally.accepted >= most]
        self.stop_reason = reached[0] if reached else self.stop_reason
        return bool(reached)

    async def _answer(self, call: Call) -> Answer:
        """Return a call's record, and what is said of it by itself if an LLM has a say in that."""
        try:
            reply = await self._asker.answer(call)
        except CallRefused as error:
            return refused(call, error)
        if call.id in self._known or not self._assessor.asks:
            return Answer(call, reply)
        return Answer(call, reply, *await self._assessor.assess(call, reply))

    async def _judge(self, answered: Sequence[Answer]) -> None:
        """Judge replies after those before them, and begin to store their examples."""
        calls = [answer.call for answer in answered if answer.call.id in self._known]
        known = {call.id: await self._examples.of_call(self._claim.doc, call) for call in calls}
        # One way to a thread and back for many of them: that may take longer than judging one.
        vectors = {id: await self._assessor.recalled(example) for id, example in known.items() if example}
        verdicts = await asyncio.to_thread(self._verdicts, answered, known, vectors)
        made = []
        for answer, verdict in zip(answered, verdicts, strict=True):
            if example := known.get(answer.call.id):
                self.tally.note(example)
                continue
            made.append((answer.call, verdict, answer.reply))
            self.tally.judge(verdict)
        if made:
            add = self._examples.add(self._claim.doc, made, self._plan.template.version, self._asker.llm)
            # Stored while others are judged; `_tell` counts none before it is stored.
            self._writing.add(asyncio.create_task(add))
        if len(self._writing) >= MOST_WRITING:
            await self._written()

    def _verdicts(
        self,
        answered: Sequence[Answer],
        known: Mapping[str, Document | None],
        vectors: Mapping[str, Vector | None],
    ) -> list[Verdict]:
        """Return what checks and gates say of replies, in order.

        CPU work: about 1 ms a reply, and 6 to 56 ms more where vectors are compared, as there are more of them.
        """
        found = []
        for answer in answered:
            if example := known.get(answer.call.id):
                found.append(self._gates.recall(example, vectors[answer.call.id]))
            else:
                alone = answer.alone or Alone(self._assessor.screened(answer.call, answer.reply))
                found.append(self._gates.compared(alone, example_id(answer.call)))
        return found

    async def _written(self) -> None:
        """Wait until every example that was judged is stored."""
        if not self._writing:
            return
        done, _ = await asyncio.wait(self._writing)  # being cancelled here cancels none of them
        self._writing -= done
        for task in done:
            task.result()

    def final(self, doc: Document) -> None:
        """Write the counts and the usage as they are now."""
        doc["counts"] = self.tally.counts()
        doc["flags"] = dict(self.tally.flags)
        took = {"seconds": self._earlier + time.monotonic() - self._began, "held_back": self._asker.held_back}
        doc["usage"] = {**self._spending.usage(), **took}
        doc["stop_reason"] = self.stop_reason
        done, total = self.tally.judged, len(self._plan.calls)
        doc["work"]["progress"] = {"phase": "generate", "done": done, "total": total, "unit": "calls"}

    async def _tell(self) -> None:
        if time.monotonic() - self._told < TELL_SECONDS:
            return
        self._told = time.monotonic()
        await self._written()
        await self._claim.update(self.final)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do some work whole, also when cancelled meanwhile: an example is stored and counted, or neither."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
