"""Questions to a run's base and tuned model: a process of the trainer's for each run that is asked, as a Job.

It lives for as long as it is asked, and a while longer. What it holds is accounted for as any Job's: on one machine
Jobs come one after the other, so that it waits for a training and a training waits for it, seconds at most once nobody
asks it. Its process calls the very replica that started it; how several replicas share runs, see chatreplicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from finetuneflow.training.v1 import chat_worker_service_pb2 as worker
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.auth import Principal, Signer, current_principal
from services.common.documents.port import Document
from services.common.errors import FineTuneFlowError, NotFound, NotReady, PermissionDenied, Unavailable
from services.common.ids import new_id
from services.common.jobs.port import JobRunner, JobSpec, JobStatus
from services.common.jobs.port import Resources as Wanted
from services.common.objects.port import Objects
from services.common.statuses import from_status
from services.common.waiting import all_of
from services.training.chatform import ask, chat_spec
from services.training.chatlimits import Limits
from services.training.chatsession import Session

KIND = "chat"
HOLDER, RUN_UID = "holder", "run"
"""Labels of a chat's Job: the address that its process calls, and the uid of the run."""
LOOK_SECONDS = 1.0
"""Between two looks at the process, while nothing is heard of it; and at those that are idle."""
PARTING_SECONDS = 10.0
"""For a process that hears us no more to end as its Job tells; then it counts as gone."""
_OVER = ("SUCCEEDED", "FAILED")


class Chats:
    """The processes that have runs' models loaded.

    Args:
        run: returns a run's document. Raises NotFound.
        wanted: returns what a run's models ask of the place where they are loaded.
        address: host:port where the processes reach this very process.
        limits: how long models stay.
    """

    def __init__(
        self,
        run: Callable[[str], Awaitable[Document]],
        wanted: Callable[[Document], Wanted],
        objects: Objects,
        jobs: JobRunner,
        signer: Signer,
        address: str,
        limits: Limits,
    ) -> None:
        self._run = run
        self._wanted = wanted
        self._objects = objects
        self._jobs = jobs
        self._signer = signer
        self._address = address
        self._limits = limits
        self._sessions: dict[str, Session] = {}
        self.closed = False

    async def generate(self, run: Document, request: pb.GenerateRequest) -> AsyncIterator[pb.GenerateResponse]:
        """Yield why an answer waits, its pieces, and each answer.

        Args:
            run: one that has models.
            request: a question that was checked.

        Raises:
            InvalidArgument: the models do not take what is asked.
            NotReady: CHAT_NO_ROOM, CHAT_ENDED, or why the models cannot be loaded.
            Unavailable: this server is being stopped.
        """
        session = await self._session(run)
        with session.used(request.keep_seconds):
            async with session.asking:
                async for update in self._answers(session, request):
                    yield update

    async def _answers(self, session: Session, request: pb.GenerateRequest) -> AsyncIterator[pb.GenerateResponse]:
        number, left, told = session.next_number(), len(request.conversations), ""
        session.order(worker.ConverseResponse(ask=ask(number, request)))
        try:
            while left:
                said = await session.heard(LOOK_SECONDS if told or session.loaded else 0.0)
                if said is None:
                    waiting = await self._waiting(session)
                    if waiting != told:
                        yield pb.GenerateResponse(waiting=waiting)
                    told = waiting
                elif said.HasField("failed") and said.ask in (0, number):
                    left = 0
                    raise self._failed(session, said)
                elif said.ask == number and said.HasField("piece"):
                    yield pb.GenerateResponse(piece=said.piece)
                elif said.ask == number and said.HasField("answer"):
                    left -= 1
                    yield pb.GenerateResponse(answer=said.answer)
        finally:
            if left:
                session.order(worker.ConverseResponse(stop=number))

    def _failed(self, session: Session, said: worker.ConverseRequest) -> FineTuneFlowError:
        error = from_status(said.failed)
        if said.ask == 0:
            session.end(error)
        return error

    async def _waiting(self, session: Session) -> str:
        """Return why nothing is heard. Raises what ended the session."""
        status = await self._jobs.get(session.job)
        if session.over is None and (status is None or status.state in _OVER):
            lines = [line async for line in self._jobs.logs(session.job)]
            session.end(_ended(status, lines[-1] if lines else ""))
        gone = session.gone()
        if gone is not None and gone >= PARTING_SECONDS:
            session.end(_ended(status, ""))
        if session.over is not None:
            raise session.over
        if gone is not None:
            return "The process with the models went away; how it ended is awaited."
        if status and status.state == "PENDING":
            self._require_place(session, status)
            return status.waiting.message if status.waiting else "It waits for room."
        return "The models answer." if session.loaded else "The models are being loaded."

    def _require_place(self, session: Session, status: JobStatus) -> None:
        """Give up a Job that has waited for its place for too long; one whose container is being made has it."""
        waiting, limit = status.waiting, self._limits.place
        if not limit or waiting is None or _is_made(status):
            return
        if asyncio.get_running_loop().time() - session.began < limit:
            return
        error = NotReady(
            f"The run's models found no place within {limit:.0f} s: {waiting.message} Ask again when there is room, or "
            "export the run and serve it as its card says.",
            reason="CHAT_NO_ROOM",
        )
        session.end(error)
        raise error

    async def _session(self, run: Document) -> Session:
        uid = run["uid"]
        session = self._sessions.get(uid)
        if session is not None and await self._has_ended(session):
            await self._end(session)
            session = self._sessions.get(uid)
        if session is not None and session.over is None:
            return session
        self.require_open()
        chat = new_id(KIND)
        session = Session(run, f"{run['_id']}/chats/{chat}", chat, asyncio.get_running_loop().time())
        # Known before it is started, so that two callers at once share it.
        self._sessions[uid] = session
        with session.used(0):
            token = self._signer.sign(Principal(session.work, "launch", session.work))
            spec = JobSpec(
                name=session.job,
                args=("chat",),
                env={"FTF_ADDRESS": self._address, "FTF_WORK": session.work},
                secrets={"launch_token": token},
                labels={"kind": KIND, "work": session.work, "uid": chat, HOLDER: self._address, RUN_UID: uid},
                resources=replace(self._wanted(run), active_deadline_seconds=self._limits.most),
                priority=int(run.get("priority", 0)),
                restarts=False,
            )
            try:
                await self._jobs.ensure(spec)
            except FineTuneFlowError as error:
                session.end(error)
                raise
            session.started = True
        return session

    async def _has_ended(self, session: Session) -> bool:
        """Whether a process that was started has ended by itself, or hears us no more."""
        if session.gone() is not None or not session.started:
            return session.gone() is not None
        status = await self._jobs.get(session.job)
        return status is None or status.state in _OVER

    async def converse(self, said: AsyncIterator[worker.ConverseRequest]) -> AsyncIterator[worker.ConverseResponse]:
        """Yield a process its orders and take in what it says, until either ends.

        Raises:
            PermissionDenied: the token is no chat's.
            NotReady: the chat is over, or has its process (WORK_ENDED).
        """
        work = current_principal().work
        if "/chats/" not in work:
            raise PermissionDenied("This token is not for a chat. Use the one that the process was started with.")
        session = next((s for s in self._sessions.values() if s.work == work), None)
        if session is None or session.over or session.met:
            raise NotReady("This chat is over. The process exits.", reason="WORK_ENDED")
        session.met = True
        try:
            # Made now, for its URLs are good for an hour, and the Job may have waited for longer.
            spec = await chat_spec(session.run, self._objects)
        except FineTuneFlowError:
            session.met = False
            raise

        async def listen() -> None:
            async for message in said:
                session.hear(message)

        ears = asyncio.create_task(listen())
        try:
            yield worker.ConverseResponse(spec=spec)
            async for order in session.orders():
                yield order
        finally:
            session.leave()
            ears.cancel()
            await asyncio.gather(ears, return_exceptions=True)

    async def unload(self, name: str) -> None:
        """Let a run's models go, also of one that was deleted. Raises NotFound if there is neither."""
        sessions = [session for session in self._sessions.values() if session.run["_id"] == name]
        if not sessions:
            await self._run(name)
        for session in sessions:
            await self._end(session)

    def loaded(self) -> set[str]:
        """Return the uids of the runs that have a process here."""
        return set(self._sessions)

    def knows(self, job: str) -> bool:
        """Whether a Job is of a process that is here."""
        return any(session.job == job for session in self._sessions.values())

    async def lose(self, uid: str) -> None:
        """Let a run's models go which another replica has now."""
        if uid in self._sessions:
            await self._end(self._sessions[uid])

    async def sweep(self) -> None:
        """End what nobody asks any more."""
        if not self._sessions:
            return
        now = asyncio.get_running_loop().time()
        waits = any(status.state == "PENDING" and not _is_made(status) for status in await self._jobs.list())
        for session in list(self._sessions.values()):
            if (
                session.is_due(now)
                or (waits and session.idle(now) >= self._limits.give_way)
                or await self._is_gone(session)
            ):
                await self._end(session)

    async def _is_gone(self, session: Session) -> bool:
        """Whether a session's run was deleted; another may have its name now."""
        try:
            run = await self._run(session.run["_id"])
        except NotFound:
            return True
        return bool(run["uid"] != session.run["uid"])

    async def close(self) -> None:
        """End all, and start nothing more. Repeating it does nothing."""
        self.closed = True
        await all_of(self._end(session) for session in list(self._sessions.values()))

    def require_open(self) -> None:
        """Raise Unavailable after close."""
        if self.closed:
            raise Unavailable("This server is being stopped. Ask again: it comes back, or another one answers.")

    async def _end(self, session: Session) -> None:
        session.end(NotReady("The models were let go. Ask again.", reason="CHAT_ENDED"))
        if self._sessions.get(session.run["uid"]) is session:
            del self._sessions[session.run["uid"]]
        await self._jobs.delete(session.job)


def _is_made(status: JobStatus) -> bool:
    """Whether a Job that does not run has its room already."""
    return status.waiting is not None and status.waiting.reason == "STARTING"


def _ended(status: JobStatus | None, line: str) -> NotReady:
    how = f"ended with {status.exit_code}" if status and status.state in _OVER else "is gone"
    told = f" Its last words: {line[:300]}." if line else ""
    return NotReady(
        f"The process with the run's models {how}.{told} Ask again: another one is started.", reason="CHAT_ENDED"
    )
