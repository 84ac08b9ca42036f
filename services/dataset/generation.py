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
from services.dataset.asking import Asker, BudgetReached
from services.dataset.core import tasks
from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.replies import parse
from services.dataset.endpoints import Endpoints
from services.dataset.estimating import Estimator
from services.dataset.freezing import Freezer
from services.dataset.gates import Gates
from services.dataset.llm import PATIENCE_SECONDS
from services.dataset.ports import Document as File
from services.dataset.ports import Documents
from services.dataset.rounds import specs
from services.dataset.spec import Call, Plan
from services.dataset.store import Calls, Examples
from services.dataset.tally import Tally

TELL_SECONDS = 0.4
ACCEPTED = "ACCEPTED_REACHED"
MOST_WRITING = 64
MOST_JUDGED = 32
"""Replies judged in one go: what a pause has to wait for at most."""
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
                raise OnHold(error) from error
            raise

    async def _generate(self, claim: Claim) -> Mutate:
        spec = claim.doc["spec"]
        client = await self._endpoints.client(spec["llm_endpoint"])
        files = [File(**f) for f in claim.doc["files"]]
        sources = [source for file in files async for source in self._documents.chunks(file)]
        make = await asyncio.to_thread(rounds.Maker, claim.doc, client.endpoint.model, sources)
        for turn in range(claim.doc.get("rounds", 1), len(specs(spec)) + 1):
            await claim.update(_round(turn))
            planned = await asyncio.to_thread(rounds.planned, spec, turn, make)
            if "estimate" not in claim.doc:
                await self._keep_estimate(claim, planned, make)
            await self._freezer.accounts.keep(claim, planned, sources)
            run = _Run(claim, Asker(client, self._calls, claim.doc, self._patience), planned, self._examples)
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

    def __init__(self, claim: Claim, asker: Asker, planned: Plan, examples: Examples) -> None:
        self._claim = claim
        self._asker = asker
        self._plan = planned
        self._examples = examples
        self._spec: dict[str, Any] = claim.doc["spec"]
        self._gates = Gates(self._spec)
        self._began = time.monotonic()
        self._earlier = float(claim.doc["usage"]["seconds"])
        self._told = 0.0
        self._known: set[str] = set()
        self._writing: set[asyncio.Task[Document]] = set()
        self.tally = Tally(planned)
        self.stop_reason = ""

    async def to_the_end(self) -> None:
        """Make what calls are missing and judge every reply, until the plan or the limit is reached."""
        await self._asker.begin()
        self._known = await self._examples.keep_only(self._claim.doc, self._plan.calls)
        pending: deque[asyncio.Task[Document]] = deque()
        calls, index = self._plan.calls, 0
        try:
            while index < len(calls):
                if self._enough():
                    self.tally.calls_dropped[self.stop_reason] += len(calls) - index
                    break
                ahead = calls[index + len(pending) : index + self._window()]
                pending.extend(asyncio.create_task(self._asker.answer(c)) for c in ahead)
                try:
                    replies = await _answered(pending)
                except BudgetReached as reached:
                    # Later calls may have been answered before a restart: what was paid for is used.
                    self.stop_reason = reached.reason
                    self.tally.calls_dropped[reached.reason] += 1
                    index += 1
                    continue
                await _to_its_end(self._judge(list(zip(calls[index:], replies, strict=False))))
                index += len(replies)
                await self._tell()
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
                await self._asker.forget()
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

    async def _judge(self, answered: Sequence[tuple[Call, Document]]) -> None:
        """Judge replies after those before them, and begin to store their examples."""
        known = {c.id: await self._examples.of_call(self._claim.doc, c) for c, _ in answered if c.id in self._known}
        # One way to a thread and back for many of them: that may take longer than judging one.
        verdicts = await asyncio.to_thread(self._verdicts, answered, known)
        for (call, reply), verdict in zip(answered, verdicts, strict=True):
            if example := known.get(call.id):
                self.tally.note(example)
                continue
            version = self._plan.template.version
            add = self._examples.add(self._claim.doc, call, verdict, reply, version, self._asker.llm)
            # Stored side by side, so that many are committed at once; `_tell` counts none before it is stored.
            self._writing.add(asyncio.create_task(add))
            flags = list(verdict.flags)
            self.tally.note(
                {"delete_time": None, "accepted": verdict.accepted, "drop_reason": verdict.drop_reason, "flags": flags}
            )
        if len(self._writing) >= MOST_WRITING:
            await self._written()

    def _verdicts(
        self, answered: Sequence[tuple[Call, Document]], known: Mapping[str, Document | None]
    ) -> list[Verdict]:
        """Return what checks and gates say of replies, in order. CPU work: about 1 ms a reply."""
        found = []
        for call, reply in answered:
            if example := known.get(call.id):
                found.append(self._gates.recall(example))
            else:
                found.append(self._gates.judge(judge(self._plan, call, reply["text"]), call))
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
        usage = self._asker.usage
        cost = self._asker.prices.cost(usage["prompt_tokens"], usage["completion_tokens"]) if usage else 0.0
        doc["usage"] = {**usage, "cost": cost, "seconds": self._earlier + time.monotonic() - self._began}
        doc["stop_reason"] = self.stop_reason
        done, total = self.tally.judged, len(self._plan.calls)
        doc["work"]["progress"] = {"phase": "generate", "done": done, "total": total, "unit": "calls"}

    async def _tell(self) -> None:
        if time.monotonic() - self._told < TELL_SECONDS:
            return
        self._told = time.monotonic()
        await self._written()
        await self._claim.update(self.final)


async def _answered(pending: deque[asyncio.Task[Document]]) -> list[Document]:
    """Wait for the next reply; return it and those that are there already and follow it, taken off what is pending.

    Raises: what the next call ended with, if not with a reply.
    """
    await asyncio.wait([pending[0]])
    replies = [pending.popleft().result()]
    while pending and len(replies) < MOST_JUDGED and _is_there(pending[0]):
        replies.append(pending.popleft().result())
    return replies


def _is_there(task: asyncio.Task[Document]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do some work whole, also when cancelled meanwhile: an example is stored and counted, or neither."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def judge(planned: Plan, call: Call, text: str) -> Verdict:
    """Return what the checks say of a reply."""
    found, reason, detail = parse(text, planned.template.schema)
    if found is None:
        return Verdict(drop_reason="REFUSAL_REPLY" if reason == "REFUSAL" else reason, detail=detail)
    return tasks.check(found, Asked(planned.template, call.source, call.passage, call.aim, call.fact))
