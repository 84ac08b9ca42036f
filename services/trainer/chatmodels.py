"""A finished run's two models in memory, and what they say."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import PeftModel
from transformers import StoppingCriteria, StoppingCriteriaList

from finetuneflow.training.v1 import chat_pb2
from finetuneflow.training.v1 import chat_worker_service_pb2 as pb
from services.common.errors import InvalidArgument
from services.trainer.answers import end_tokens
from services.trainer.basemodel import fetch_base, location_of
from services.trainer.config import Patience
from services.trainer.evaluate import evaluating
from services.trainer.model import Source, check_files, load_model, load_tokenizer, source_of
from services.trainer.settings import is_full
from services.trainer.training_job import base_model
from services.trainer.transfer import fetch
from services.trainer.tuned import Tuned

_UNFINISHED = "\ufffd"
"""What a decoder gives for a letter whose last bytes have not come yet."""


class Hearer(Protocol):
    """Who hears an answer while it is made."""

    def say(self, number: int, **said: Any) -> None:
        """Hear something about a question."""
        ...

    def is_stopped(self, number: int) -> bool:
        """Whether nobody waits for the answer any more."""
        ...


def load(folder: Path, patience: Patience, spec: pb.ChatSpec) -> Models:
    """Fetch a run's weights and load them beside the base model, on a GPU if there is one.

    Raises:
        FineTuneFlowError: a file is damaged, or the base model is not what it was.
    """
    source = source_of(location_of(spec, folder), spec.model_revision, spec.model)
    fetch_base(spec, folder, patience)
    check_files(source)
    weights = folder / "weights"
    shutil.rmtree(weights, ignore_errors=True)
    for file, url in zip(spec.files, spec.urls, strict=True):
        name = Path(file.filename).name
        fetch(url, file.sha256, weights / name, patience, f"File {name}")
    own = Source(str(weights), "", source.name)

    def base() -> Any:
        return base_model(source, spec.config)

    model = load_model(own, torch.float32) if is_full(spec.config) else _adapted(base(), weights)
    if torch.cuda.is_available() and model.device.type != "cuda":  # what is quantised is there already
        model = model.to("cuda")
    tuned = Tuned(model, source.name, base)
    return Models(tuned, load_tokenizer(own))


def _adapted(base: Any, folder: Path) -> Any:
    return PeftModel.from_pretrained(base, str(folder))


class Models:
    """Both models of a run.

    Args:
        tuned: the tuned model, beside its base.
        tokenizer: the stock tokenizer.
    """

    def __init__(self, tuned: Tuned, tokenizer: Any) -> None:
        self._tuned = tuned
        self._tokenizer = tokenizer

    def answer(self, conversation: chat_pb2.Conversation, ask: pb.Ask, hearer: Hearer) -> chat_pb2.ChatAnswer:
        """Let one model answer, and the hearer hear it piece by piece.

        Raises:
            InvalidArgument: the chat template refuses the conversation, or the model's context has no room for it.
        """
        if conversation.side == chat_pb2.SIDE_TUNED:
            with evaluating(self._tuned.model):
                return self._generate(self._tuned.model, conversation, ask, hearer)
        with self._tuned.base() as base, evaluating(base):
            return self._generate(base, conversation, ask, hearer)

    def _generate(
        self, model: Any, conversation: chat_pb2.Conversation, ask: pb.Ask, hearer: Hearer
    ) -> chat_pb2.ChatAnswer:
        began = time.perf_counter()
        ids = self._prompt(model, conversation, ask.sampling.max_new_tokens)
        side = conversation.side
        ends = end_tokens(model, self._tokenizer)
        pad = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else min(ends)
        pieces = Pieces(
            self._tokenizer, lambda text: hearer.say(ask.number, piece=chat_pb2.AnswerPiece(side=side, text=text))
        )
        spread = ask.sampling.temperature
        inputs = torch.tensor([ids], device=model.device)
        made = model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=ask.sampling.max_new_tokens,
            do_sample=spread > 0,
            temperature=spread or None,
            top_p=None,
            top_k=None,
            eos_token_id=sorted(ends),
            pad_token_id=pad,
            streamer=pieces,
            stopping_criteria=StoppingCriteriaList([_Stopped(lambda: hearer.is_stopped(ask.number))]),
        )
        tokens = made[0, len(ids) :].tolist()
        return chat_pb2.ChatAnswer(
            side=side,
            text=self._tokenizer.decode(tokens, skip_special_tokens=True),
            tokens=len(tokens),
            seconds=time.perf_counter() - began,
            cut=len(tokens) >= ask.sampling.max_new_tokens and tokens[-1] not in ends,
        )

    def _prompt(self, model: Any, conversation: chat_pb2.Conversation, most: int) -> list[int]:
        messages = [{"role": m.role, "content": m.content} for m in conversation.messages]
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:
            raise InvalidArgument(
                f"The model's chat template refuses the conversation: {str(error)[:200]} Change its messages.",
                field="conversations.messages",
            ) from error
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        context = getattr(model.config, "max_position_embeddings", 0)
        if context and len(ids) + most > context:
            raise InvalidArgument(
                f"The conversation has {len(ids)} tokens, the answer may have {most}, the model's context {context}. "
                "Begin a new conversation, or lower max_new_tokens.",
                field="conversations",
            )
        return ids


class Pieces:
    """Tokens as they come → pieces of text, as transformers' `generate` hands them to a streamer.

    Args:
        tokenizer: decodes.
        said: takes each piece; all of them in a row are the answer.
    """

    def __init__(self, tokenizer: Any, said: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._said = said
        self._tokens: list[int] = []
        self._told = ""
        self._prompt = True

    def put(self, tokens: Any) -> None:
        """Take the next tokens; the first are the prompt."""
        if self._prompt:
            self._prompt = False
            return
        self._tokens += tokens.reshape(-1).tolist()
        text = self._text()
        if not text.endswith(_UNFINISHED):
            self._tell(text)

    def end(self) -> None:
        """Tell what is left."""
        self._tell(self._text())

    def _text(self) -> str:
        text: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
        return text

    def _tell(self, text: str) -> None:
        if len(text) > len(self._told) and text.startswith(self._told):
            self._said(text[len(self._told) :])
            self._told = text


class _Stopped(StoppingCriteria):
    """Ends an answer that nobody waits for."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped

    def __call__(self, input_ids: Any, scores: Any, **rest: Any) -> Any:
        """See StoppingCriteria."""
        return torch.full((input_ids.shape[0],), self._stopped(), device=input_ids.device)
