"""The two models of a finished run, asked: they say what the run's own evaluation heard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.training.v1 import chat_pb2, config_pb2, run_pb2
from finetuneflow.training.v1 import chat_worker_service_pb2 as pb
from services.common.errors import InvalidArgument
from services.trainer.chatmodels import Models, Pieces, load
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import QUICK, config, rows, run_here, train_spec, write_dataset

BASE, TUNED = chat_pb2.SIDE_BASE, chat_pb2.SIDE_TUNED


class Ear:
    """Hears answers; stops them after some pieces."""

    def __init__(self, most: int = 10_000) -> None:
        self.pieces: list[str] = []
        self._most = most

    def say(self, number: int, **said: Any) -> None:
        """Note a piece."""
        self.pieces.append(said["piece"].text)

    def is_stopped(self, number: int) -> bool:
        """Whether enough was heard."""
        return len(self.pieces) >= self._most


@pytest.fixture(scope="module", params=["LORA", "FULL"])
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Path
) -> Iterator[tuple[run_pb2.RunResult, Models]]:
    """What a run came to, and its models loaded again from what it left."""
    folder = tmp_path_factory.mktemp("chat")
    full = request.param == "FULL"
    settings = config(max_steps=3, num_eval_answers=4)
    if full:
        settings = config(max_steps=3, num_eval_answers=4, method=config_pb2.METHOD_FULL, learning_rate=1e-3)
        settings.ClearField("lora")
    spec = train_spec(write_dataset(folder / "data.jsonl", rows()), model, settings)
    with WorkerHost(folder / "objects", spec) as host:
        assert run_here(host, folder / "work") == 0
        result = run_pb2.RunResult()
        host.finished[-1].result.Unpack(result)
        names = [a.filename for a in host.finished[-1].artifacts if not a.filename.endswith((".md", ".html", ".png"))]
        paths = [host.artifact(name) for name in names]
        files = [
            artifact_pb2.Artifact(filename=name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
            for name, path in zip(names, paths, strict=True)
        ]
        asked = pb.ChatSpec(
            run="projects/p/runs/r",
            model_location=str(model),
            model="models/tiny",
            config=settings,
            files=files,
            urls=[path.as_uri() for path in paths],
        )
        yield result, load(folder / "scratch", QUICK, asked)


def ask(models: Models, side: chat_pb2.Side.ValueType, *messages: tuple[str, str], ear: Ear, **sampling: Any) -> Any:
    """Ask one model."""
    said = [chat_pb2.ChatMessage(role=role, content=text) for role, text in messages]
    made = pb.Ask(number=1, sampling=chat_pb2.Sampling(**{"max_new_tokens": 48, **sampling}))
    return models.answer(chat_pb2.Conversation(side=side, messages=said), made, ear)


def test_both_sides_say_what_the_evaluation_heard(finished: tuple[run_pb2.RunResult, Models]) -> None:
    """Greedily, token by token the same; the pieces in a row are the answer; base and tuned are not mixed up."""
    result, models = finished
    samples = result.evaluation.samples

    for sample in samples:
        for side, expected in ((TUNED, sample.tuned), (BASE, sample.base)):
            ear = Ear()
            answer = ask(models, side, ("user", sample.prompt), ear=ear)

            assert answer.text.strip() == expected
            assert "".join(ear.pieces) == answer.text
            assert answer.cut == (answer.tokens == 48)
    assert any(sample.base != sample.tuned for sample in samples)


def test_an_answer_nobody_waits_for_ends(finished: tuple[run_pb2.RunResult, Models]) -> None:
    """At the next token."""
    ear = Ear(most=2)
    answer = ask(finished[1], BASE, ("user", "Why?"), ear=ear, max_new_tokens=200)

    assert answer.tokens < 20
    assert not answer.cut


def test_what_has_no_room_or_no_place_in_the_template_is_refused(finished: tuple[run_pb2.RunResult, Models]) -> None:
    """The message says what to change; the models go on."""
    models = finished[1]
    with pytest.raises(InvalidArgument, match="lower max_new_tokens"):
        ask(models, TUNED, ("user", "Why?"), ear=Ear(), max_new_tokens=4096)
    with pytest.raises(InvalidArgument, match="Begin a new conversation"):
        ask(models, TUNED, ("user", "word " * 5000), ear=Ear())

    assert ask(models, TUNED, ("user", "Why?"), ear=Ear()).tokens


def test_a_letter_is_told_when_it_is_whole() -> None:
    """Tokens may end in the midst of a letter's bytes."""

    class Bytes:
        def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
            return bytes(tokens).decode(errors="replace")

    class Tokens(list[int]):
        def reshape(self, shape: int) -> Tokens:
            return self

        def tolist(self) -> list[int]:
            return list(self)

    heard: list[str] = []
    pieces = Pieces(Bytes(), heard.append)
    pieces.put(Tokens(b"prompt"))
    for byte in "né!".encode():
        pieces.put(Tokens([byte]))
    pieces.end()

    assert heard == ["n", "é", "!"]
