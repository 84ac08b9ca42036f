"""Whether an exported artifact, loaded again from its files, is the tuned model.

The tuned model (base in float32 with the adapter beside it) is asked before the artifact is written, the artifact after
it was read back. What is compared:

- logits of fixed prompts, at every position. An adapter read back is the same numbers in the same order, so only a
  library that sums differently could move them: 1e-5. A merged float32 model computes (W + BA)x where the tuned one
  computes Wx + B(Ax): rounding, 2e-4 for 30 layers, so 1e-3. A merged model stored in 16 bits has each changed weight
  rounded to 8 (bfloat16) or 11 bits (float16), which moved logits of a 135M model by 0.4 and 0.04; that alone would let
  a weak adapter get lost, so there the sum is held to 1e-3 before the rounding, and the files to 1e-3 after it.
- greedy answers end at an end token, or at the limit; of a model that is read anew for each token, the limit is lower.
- the chat template is the base model's, to the letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from services.common.chat.tokens import Message
from services.trainer.answers import end_tokens, generate
from services.trainer.evaluate import evaluating
from services.trainer.failures import refused
from services.trainer.model import render
from services.trainer.streamed import stream_of

PROMPTS = (
    "What is this document about?",
    "Name three things that matter for safety, and say why.",
    "Write one sentence about water.",
    "How many days are there in two weeks and one day?",
)

ADAPTER_BOUND = 1e-5
MERGED_BOUND = 1e-3
ROUNDED_BOUNDS = {"float32": MERGED_BOUND, "float16": 0.25, "bfloat16": 1.0}
"""Largest difference of a logit between tuned model and files, by the type that merged weights are stored in."""

ANSWER_TOKENS, STREAMED_ANSWER_TOKENS = 24, 8
"""Limits of the greedy answers."""


@dataclass(frozen=True)
class Behaviour:
    """What a model does with the fixed prompts.

    Args:
        logits: one float32 tensor a prompt, positions × vocabulary.
        template: the chat template.
    """

    logits: tuple[Any, ...]
    template: str


def observe(model: Any, tokenizer: Any) -> Behaviour:
    """Ask a model the fixed prompts."""
    prompts = [prompt_tokens(tokenizer, text) for text in PROMPTS]
    return Behaviour(tuple(logits_along(model, prompts)), str(tokenizer.chat_template))


def logits_along(model: Any, sequences: Sequence[Sequence[int]]) -> list[Any]:
    """Return the logits at every position of each sequence, float32, positions × vocabulary, from one pass for all.

    What pads the shorter ones stands behind them, where a causal model's earlier positions do not see it.
    """
    width = max(len(ids) for ids in sequences)
    padded = torch.tensor([[*ids, *[ids[-1]] * (width - len(ids))] for ids in sequences], device=model.device)
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in sequences], device=model.device)
    with evaluating(model):
        logits = model(input_ids=padded, attention_mask=mask).logits.float().cpu()
    return [one[: len(ids)] for one, ids in zip(logits, sequences, strict=True)]


def require_ends(model: Any, tokenizer: Any) -> None:
    """Let a model answer the fixed prompts greedily.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED if an answer ends neither at an end token nor at the limit, or the model
            and its tokenizer know no end token.
    """
    ends = end_tokens(model, tokenizer)
    if not ends:
        raise refused("it knows no end token")
    most = STREAMED_ANSWER_TOKENS if stream_of(model) else ANSWER_TOKENS
    with evaluating(model):
        answers = generate(model, tokenizer, [prompt_tokens(tokenizer, text) for text in PROMPTS], most)
    require_ended(answers, ends, most)


def require_ended(answers: Sequence[Sequence[int]], ends: set[int], most: int = ANSWER_TOKENS) -> None:
    """Refuse greedy answers that do not stop.

    Args:
        answers: the tokens of each.
        ends: the tokens that end an answer.
        most: limit of an answer's tokens.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED if one ends neither at an end token nor at the limit.
    """
    if not all(answer and (answer[-1] in ends or len(answer) == most) for answer in answers):
        raise refused("an answer ends neither at an end token nor at the limit")


def prompt_tokens(tokenizer: Any, text: str) -> list[int]:
    """Return a prompt's tokens, as the chat template puts it if there is one."""
    messages: Sequence[Message] = [{"role": "user", "content": text}]
    if tokenizer.chat_template:
        text = render(tokenizer, messages)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def require_same(expected: Behaviour, found: Behaviour, bound: float) -> float:
    """Return the largest difference of a logit.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED if the artifact is not the tuned model.
    """
    if found.template != expected.template:
        raise refused("its chat template is not the base model's")
    difference = 0.0
    for one, other in zip(expected.logits, found.logits, strict=True):
        if one.shape != other.shape:
            raise refused("its vocabulary or its prompts' tokens are not the base model's")
        if not (one.isfinite().all() and other.isfinite().all()):
            raise refused("its logits are not all numbers", float("nan"))
        difference = max(difference, float((one - other).abs().max()))
    if difference > bound:
        raise refused(f"its logits differ by up to {difference:.3g}, {bound:.3g} is allowed", difference)
    return difference
