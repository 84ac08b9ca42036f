"""A run's models answer over real gRPC, from a real process that the service starts and ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.training.v1 import chat_pb2, chat_worker_service_pb2, chat_worker_service_pb2_grpc
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.auth import Principal, Signer
from services.common.secretfiles import Secrets
from tests.fakes.running import Served, refusal
from tests.service.test_training import RUN, ended, request, training

BASE, TUNED = chat_pb2.SIDE_BASE, chat_pb2.SIDE_TUNED


def question(text: str, *sides: chat_pb2.Side.ValueType, keep: int = 60, **sampling: Any) -> pb.GenerateRequest:
    """A question to one side or more, both if none is named."""
    said = [chat_pb2.ChatMessage(role="system", content="Be brief."), chat_pb2.ChatMessage(role="user", content=text)]
    return pb.GenerateRequest(
        name=RUN,
        conversations=[chat_pb2.Conversation(side=side, messages=said) for side in sides or (BASE, TUNED)],
        sampling=chat_pb2.Sampling(**sampling),
        keep_seconds=keep,
    )


async def answers(stub: Any, asked: pb.GenerateRequest) -> tuple[list[chat_pb2.ChatAnswer], str]:
    """Ask, and return the answers and all pieces in a row."""
    found, pieces = [], ""
    async with asyncio.timeout(40):
        async for update in stub.Generate(asked):
            pieces += update.piece.text
            if update.HasField("answer"):
                found.append(update.answer)
    return found, pieces


async def jobs(served: Served) -> list[str]:
    """The chats' processes that there are."""
    folder = served.config.state / "jobs" / "jobs"
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("chat-"))


def is_locked(path: Path) -> bool:
    """Whether a Job's process lives."""
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


async def until_gone(served: Served) -> None:
    """Wait until no process of a chat is left."""
    async with asyncio.timeout(20):
        while await jobs(served):  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.05)


@asynccontextmanager
async def trained(tmp_path: Path, **plan: Any) -> AsyncIterator[tuple[Any, Served]]:
    """A service with a run that has succeeded."""
    async with training(tmp_path, steps=2, **plan) as (stub, served):
        await stub.CreateRun(request())
        await ended(stub)
        yield stub, served


async def test_both_models_answer_and_stay_for_the_next_question(tmp_path: Path) -> None:
    """In pieces that make the answer, with the defaults filled in; the second question finds the same process."""
    async with trained(tmp_path) as (stub, served):
        first, pieces = await answers(stub, question("Why?"))
        process = await jobs(served)
        second, _ = await answers(stub, question("And?", TUNED, max_new_tokens=7))
        same = await jobs(served)
        await stub.UnloadRun(pb.UnloadRunRequest(name=RUN))
        await stub.UnloadRun(pb.UnloadRunRequest(name=RUN))
        left = await jobs(served)

    assert [(a.side, a.text, a.tokens) for a in first] == [
        (BASE, "SIDE_BASE of 2: Why?", 256),
        (TUNED, "SIDE_TUNED of 2: Why?", 256),
    ]
    assert pieces == "".join(a.text for a in first)
    assert [(a.side, a.text, a.tokens) for a in second] == [(TUNED, "SIDE_TUNED of 2: And?", 7)]
    assert len(process) == 1
    assert process == same
    assert left == []


async def test_an_answer_that_is_cancelled_is_broken_off(tmp_path: Path) -> None:
    """The next question is answered by the same process, with nothing of the old answer in it."""
    async with trained(tmp_path) as (stub, served):
        endless = stub.Generate(question("go on", TUNED))
        async with asyncio.timeout(40):
            async for update in endless:
                if update.piece.text:
                    break
        endless.cancel()
        process = await jobs(served)
        found, pieces = await answers(stub, question("Enough?", TUNED))

        assert pieces == found[0].text == "SIDE_TUNED of 2: Enough?"
        assert await jobs(served) == process


async def test_who_asks_at_once_is_answered_one_after_the_other(tmp_path: Path) -> None:
    """Two callers share one process."""
    async with trained(tmp_path) as (stub, served):
        found = await asyncio.gather(*(answers(stub, question(text)) for text in ("One?", "Two?", "Three?")))

        assert [both[1].text for both, _ in found] == [f"SIDE_TUNED of 2: {t}?" for t in ("One", "Two", "Three")]
        assert len(await jobs(served)) == 1


async def test_models_leave_when_nobody_asks_and_make_room_for_a_run(tmp_path: Path) -> None:
    """After keep_seconds; and sooner where another Job waits for the room that they hold."""
    async with trained(tmp_path) as (stub, served):
        await answers(stub, question("Why?", keep=0))
        await until_gone(served)
        await answers(stub, question("Why?", keep=3600))
        await stub.CreateRun(request("next"))
        run, _ = await ended(stub, "projects/p/runs/next")

        assert await jobs(served) == []
    assert run.result.steps == 2


async def test_a_process_that_ended_unasked_is_started_again_by_the_next_question(tmp_path: Path) -> None:
    """Whoever asks does not notice."""
    async with trained(tmp_path) as (stub, served):
        await answers(stub, question("Why?"))
        (first,) = await jobs(served)
        folder = served.config.state / "jobs" / "jobs" / first
        os.killpg(int((folder / "pid").read_text().split()[0]), signal.SIGKILL)
        async with asyncio.timeout(20):
            while is_locked(folder / "lock"):  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.05)
        found, _ = await answers(stub, question("And now?", BASE))
        (second,) = await jobs(served)

    assert found[0].text == "SIDE_BASE of 2: And now?"
    assert first != second


async def test_models_leave_with_their_run(tmp_path: Path) -> None:
    """However long they were to stay; a new run of the same name has its own."""
    async with trained(tmp_path) as (stub, served):
        await answers(stub, question("Why?", keep=3600))
        await stub.DeleteRun(pb.DeleteRunRequest(name=RUN))
        await until_gone(served)


async def test_a_question_that_cannot_be_answered_costs_only_itself(tmp_path: Path) -> None:
    """What the process refuses reaches the caller as it was said, and the process stays."""
    async with trained(tmp_path) as (stub, _):
        await answers(stub, question("Why?"))
        refused = await refusal(stub.Generate(question("refuse")))
        after, _ = await answers(stub, question("And now?", BASE))

    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert after[0].text == "SIDE_BASE of 2: And now?"


@pytest.mark.parametrize(("how", "reason"), [("cannot", "MODEL_NOT_FOUND"), ("dies", "CHAT_ENDED")])
async def test_a_process_that_fails_says_why(tmp_path: Path, how: str, reason: str) -> None:
    """Whether it cannot load the models or ends in the midst; its Job goes with it."""
    async with trained(tmp_path, chat=how) as (stub, served):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answers(stub, question("Why?"))
        await until_gone(served)

    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert ("Put it back" if how == "cannot" else "out of everything") in str(caught.value.details())
    assert reason in str(caught.value.trailing_metadata())


async def test_what_is_no_question_is_refused(tmp_path: Path) -> None:
    """With the field at fault; nothing is started for it."""
    good = question("Why?")

    def but(**fields: Any) -> pb.GenerateRequest:
        asked = pb.GenerateRequest(**fields)
        asked.MergeFrom(good)
        return asked

    late, twice, ends = pb.GenerateRequest(), pb.GenerateRequest(), pb.GenerateRequest()
    for asked in (late, twice, ends):
        asked.CopyFrom(good)
    late.conversations[0].messages[1].role = "system"
    twice.conversations[1].side = BASE
    ends.conversations[0].messages.add(role="assistant", content="Because.")
    wrong = [
        pb.GenerateRequest(name=RUN),
        late,
        twice,
        ends,
        but(sampling=chat_pb2.Sampling(temperature=3)),
        but(sampling=chat_pb2.Sampling(max_new_tokens=5000)),
    ]
    async with training(tmp_path, steps=2) as (stub, served):
        missing = await refusal(stub.Generate(good))
        await stub.CreateRun(request())
        early = await refusal(stub.Generate(good))
        refused = {await refusal(stub.Generate(asked)) for asked in wrong}

        assert await jobs(served) == []
    assert missing[0] == grpc.StatusCode.NOT_FOUND
    assert early == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_SUCCEEDED")
    assert refused == {(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")}


async def test_a_launch_token_opens_its_own_chat_alone(tmp_path: Path) -> None:
    """That of a run opens none, that of a chat that is over neither."""
    async with trained(tmp_path) as (_, served):
        signer = Signer(Secrets(tmp_path / "secrets").key("signing.key"))
        found = []
        for work in (RUN, f"{RUN}/chats/gone"):
            async with served.channel(signer.sign(Principal(work, "launch", work))) as channel:
                stub = chat_worker_service_pb2_grpc.ChatWorkerServiceStub(channel)
                found.append(await refusal(stub.Converse(iter([chat_worker_service_pb2.ConverseRequest()]))))

    assert found == [
        (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
        (grpc.StatusCode.FAILED_PRECONDITION, "WORK_ENDED"),
    ]
