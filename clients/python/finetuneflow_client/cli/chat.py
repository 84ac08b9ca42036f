"""A conversation with a run's base model and its tuned model, side by side."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

from finetuneflow.training.v1 import chat_pb2, training_service_pb2
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.view.chat import ChatView, answers_table
from finetuneflow_client.errors import FtfError

_SIDES = {
    "both": (chat_pb2.SIDE_BASE, chat_pb2.SIDE_TUNED),
    "base": (chat_pb2.SIDE_BASE,),
    "tuned": (chat_pb2.SIDE_TUNED,),
}
_BETWEEN_SECONDS = 300
"""How long the models stay while somebody thinks about the next question."""
_LONGEST_LINE = 65_536
_NEW, _END = "/new", ("/exit", "/quit")


async def chat(session: Session) -> None:
    """Ask what the user says, one turn after the other; each model hears its own answers again."""
    run = await targets.finished_run(session, session.args.run)
    sides = _SIDES[session.args.side]
    told = _begun(session)
    turns = {side: list(told) for side in sides}
    try:
        async for question in _questions(session):
            if question == _NEW:
                turns = {side: list(told) for side in sides}
                session.screen.say("a new conversation")
                continue
            for said in turns.values():
                said.append(chat_pb2.ChatMessage(role="user", content=question))
            answers = await _asked(session, run, turns)
            for answer in answers:
                turns[answer.side].append(chat_pb2.ChatMessage(role="assistant", content=answer.text))
            if session.output.as_json:
                session.output.json_line({"question": question, **{_word(a.side): _as_json(a) for a in answers}})
            else:
                session.output.render(answers_table(answers))
            session.output.flush()
    finally:
        if not session.args.keep:
            with contextlib.suppress(FtfError):
                await session.flow.training.UnloadRun(training_service_pb2.UnloadRunRequest(name=run))


def _begun(session: Session) -> list[chat_pb2.ChatMessage]:
    system = session.args.system
    return [chat_pb2.ChatMessage(role="system", content=system)] if system else []


async def _questions(session: Session) -> AsyncIterator[str]:
    """Yield what --message says; without one, what is typed, or the lines of a pipe, until its end."""
    if session.args.message:
        for message in session.args.message:
            yield message
        return
    typed = sys.stdin.isatty()
    if typed:
        session.screen.say(f"ask both models; {_NEW} begins anew, {_END[0]} or Ctrl-D ends")
    while True:
        try:
            line = (await (_typed() if typed else asyncio.to_thread(input))).strip()
        except EOFError:
            return
        if line in _END:
            return
        if line:
            yield line


async def _typed() -> str:
    """Return the next line of the terminal. Not in a thread: Ctrl-C could not end one that waits for it.

    Raises:
        EOFError: Ctrl-D.
    """
    loop, number = asyncio.get_running_loop(), sys.stdin.fileno()
    print("you> ", end="", file=sys.stderr, flush=True)
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(number, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(number)
    data = os.read(number, _LONGEST_LINE)
    if not data:
        raise EOFError
    return data.decode(errors="replace")


async def _asked(
    session: Session, run: str, turns: dict[chat_pb2.Side.ValueType, list[chat_pb2.ChatMessage]]
) -> list[chat_pb2.ChatAnswer]:
    """Return the answers to the newest turn, shown while they are made."""
    args = session.args
    request = training_service_pb2.GenerateRequest(
        name=run,
        conversations=[chat_pb2.Conversation(side=side, messages=said) for side, said in turns.items()],
        sampling=chat_pb2.Sampling(max_new_tokens=args.max_new_tokens, temperature=args.temperature),
        keep_seconds=max(args.keep, _BETWEEN_SECONDS),
    )
    view = ChatView(list(turns))
    answers = []
    with session.screen.showing(view) as changed:
        async for update in session.flow.training.Generate(request):
            view.update(update)
            changed()
            if update.HasField("answer"):
                answers.append(update.answer)
        view.done = True
    return answers


def _word(side: chat_pb2.Side.ValueType) -> str:
    return chat_pb2.Side.Name(side).removeprefix("SIDE_").lower()


def _as_json(answer: chat_pb2.ChatAnswer) -> dict[str, object]:
    return {"text": answer.text, "tokens": answer.tokens, "seconds": round(answer.seconds, 3), "cut": answer.cut}
