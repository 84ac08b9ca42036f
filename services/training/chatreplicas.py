"""Chats where the service has several replicas: one of them has a run's models, and the others pass questions on to it.

Whoever is asked first claims the run and starts the process, a Job whose pod calls that very replica. A replica that is
gone loses its claims when their lease ends, or when another finds nobody at its address. Its Jobs are removed once
another has claimed the run, or a further lease later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common import incidents
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, NotFound, NotReady, Unreachable
from services.common.jobs.port import JobRunner
from services.common.waiting import all_of
from services.training.chatclaims import Claims
from services.training.chatform import check, require_models
from services.training.chats import HOLDER, KIND, LOOK_SECONDS, RUN_UID, Chats
from services.training.ports import Replicas

log = logging.getLogger(__name__)


class SharedChats:
    """The chats of one replica among others.

    Args:
        chats: the processes of this replica.
        run: returns a run's document. Raises NotFound.
        replicas: reaches the others.
    """

    def __init__(
        self,
        chats: Chats,
        claims: Claims,
        run: Callable[[str], Awaitable[Document]],
        jobs: JobRunner,
        replicas: Replicas,
    ) -> None:
        self._chats = chats
        self._claims = claims
        self._run = run
        self._jobs = jobs
        self._replicas = replicas
        self._asked: Counter[str] = Counter()

    async def generate(self, request: pb.GenerateRequest, *, passed_on: bool) -> AsyncIterator[pb.GenerateResponse]:
        """Yield what Chats.generate does, and raise what it does, here or where the models are.

        Args:
            passed_on: another replica takes this one for the one that has the models; it is not passed on again.

        Raises:
            NotFound: there is no such run.
            InvalidArgument: what is asked cannot be answered.
            NotReady: RUN_NOT_SUCCEEDED.
            Unavailable: the replica that has the models went away in the midst of an answer; or this one is closed.
        """
        self._chats.require_open()
        check(request)
        run = await self._run(request.name)
        require_models(run)
        uid = run["uid"]
        self._asked[uid] += 1
        try:
            while (held := await self._claims.take(uid)) is not None:
                if passed_on:
                    raise NotReady("The run's models are being loaded elsewhere. Ask again.", reason="CHAT_ENDED")
                begun = False
                try:
                    async for update in self._replicas.generate(held.address, request):
                        begun = True
                        yield update
                    return
                except Unreachable:
                    if begun:
                        raise
                    await self._claims.drop(held)
            async for update in self._chats.generate(run, request):
                yield update
        finally:
            self._asked[uid] -= 1

    async def unload(self, name: str, *, passed_on: bool) -> None:
        """Let a run's models go, wherever they are. Raises NotFound if there is neither run nor models."""
        try:
            uid = (await self._run(name))["uid"]
        except NotFound:
            await self._chats.unload(name)
            return
        held = await self._claims.find(uid)
        if held is None or passed_on:
            await self._chats.unload(name)
            return
        try:
            await self._replicas.unload(held.address, name)
        except Unreachable:
            await self._claims.drop(held)

    async def run(self) -> None:
        """Look after all of it until cancelled.

        Apart from each other, for a pod takes its time to end, and claims are renewed meanwhile.
        """
        await asyncio.gather(
            _again("Keeping chats", self.keep, self._claims.renew_seconds),
            _again("Ending idle chats", self._chats.sweep, LOOK_SECONDS),
            _again("Removing what chats left", self.clear, self._claims.renew_seconds),
        )

    async def keep(self) -> None:
        """Renew the claims of what is loaded here; let go what another replica has taken over."""
        self._asked = +self._asked
        for uid in await self._claims.keep(self._wanted):
            await self._chats.lose(uid)

    def _wanted(self) -> set[str]:
        return set() if self._chats.closed else self._chats.loaded() | set(self._asked)

    async def clear(self) -> None:
        """Remove them once: those of replicas that are gone, and what an earlier process at this address left."""
        # Jobs first: a claim is written before its Job is made, so that no Job is seen before its claim.
        jobs = [status for status in await self._jobs.list() if status.labels.get("kind") == KIND]
        holders = await self._claims.holders()
        for status in jobs:
            if self._chats.knows(status.name):
                continue
            holder = status.labels.get(HOLDER, "")
            if holder == self._claims.address or holders.get(status.labels.get(RUN_UID, "")) != holder:
                log.info("Nobody asks through the chat's Job %s any more; it is removed.", status.name)
                await self._jobs.delete(status.name)

    async def close(self) -> None:
        """Leave the runs to the other replicas, and end what is loaded here; either, also if the other fails.

        What is asked afterwards is refused. Repeating it does nothing.
        """
        await all_of((self._chats.close(), self._claims.keep(set)))


async def _again(what: str, work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do something again and again; what fails is tried again."""
    while True:
        try:
            await work()
        except FineTuneFlowError as error:
            log.warning("%s waits: %s", what, error)
        except Exception as error:
            incidents.report(log, what, error)
        await asyncio.sleep(seconds)
