"""Whether an exported artifact, loaded again from its files, is the tuned model.

The tuned model (base in float32 with the adapter beside it) is asked before the artifact is written, the artifact after
it was read back. What is compared:

- logits of fixed prompts, at every position. An adapter read back is the same numbers in the same order, so only a
  library that sums differently could move them: 1e-5. A merged float32 model computes (W + BA)x where the tuned one
  computes Wx + B(Ax): rounding, 2e-4 for 30 layers, so 1e-3. A merged model stored in 16 bits has each changed weight
  rounded to 8 (bfloat16) or 11 bits (float16), which moved logits of a 135M model by 0.4 and 0.04; that alone would let
  a weak adapter get lost, so there the sum is held to 1e-3 before the rounding, and the files to 1e-3 after it.
- the tokens that end an answer, of the generation settings and of the tokenizer, are the tuned model's; and generation
  by the files' own settings stops at each of them, which is made to come second in an answer.
- the chat template is the base model's, to the letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from services.common.chat.tokens import Message
from services.trainer.answers import configured_ends, continued, end_tokens
from services.trainer.evaluate import evaluating
from services.trainer.failures import refused
from services.trainer.model import render

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

_MOST = 4
"""Tokens of an answer that does not stop."""


@dataclass(frozen=True)
class Ends:
    """The tokens that end an answer.

    Args:
        configured: those of the generation settings, at which the libraries stop.
        own: the tokenizer's, None if it has none.
    """

    configured: frozenset[int]
    own: int | None


def ends_of(generation: Any, tokenizer: Any) -> Ends:
    """Return the end tokens of generation settings and of a tokenizer."""
    return Ends(frozenset(configured_ends(generation)), tokenizer.eos_token_id)


@dataclass(frozen=True)
class Behaviour:
    """What a model does with the fixed prompts.

    Args:
        logits: one float32 tensor a prompt, positions × vocabulary.
        template: the chat template.
        ends: what ends its answers.
    """

    logits: tuple[Any, ...]
    template: str
    ends: Ends


def observe(model: Any, tokenizer: Any) -> Behaviour:
    """Ask a model the fixed prompts."""
    prompts = [prompt_tokens(tokenizer, text) for text in PROMPTS]
    ends = ends_of(model.generation_config, tokenizer)
    return Behaviour(tuple(logits_along(model, prompts)), str(tokenizer.chat_template), ends)


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
    """Let each token that ends an answer come second in one, and see that the library stops there by itself.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED if it goes on, or the model and its tokenizer know no end token.
    """
    configured = sorted(configured_ends(model.generation_config))
    ends = configured or sorted(end_tokens(model, tokenizer))
    if not ends:
        raise refused("it knows no end token")
    prompts = [prompt_tokens(tokenizer, PROMPTS[number % len(PROMPTS)]) for number in range(len(ends))]
    forcing = _Forcing(max(map(len, prompts)), ends)
    options = {} if configured else {"eos_token_id": ends}  # such a base model does not stop by itself either
    with evaluating(model):
        answers = continued(model, tokenizer, prompts, _MOST, logits_processor=[forcing], **options)
    if [answer[1:] for answer in answers] != [[end] for end in ends]:
        raise refused("an answer goes on after an end token")


class _Forcing:
    """Makes the second new token of each row an end token, and the first none.

    Args:
        width: tokens of the prompts.
        ends: the end token of each row.
    """

    def __init__(self, width: int, ends: Sequence[int]) -> None:
        self._width = width
        self._ends = torch.tensor(ends)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        ends = self._ends.to(scores.device)
        if input_ids.shape[1] == self._width:
            return scores.index_fill(1, ends, -torch.inf)
        return torch.full_like(scores, -torch.inf).scatter(1, ends[:, None], 0.0)


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
    if not expected.ends.configured <= found.ends.configured or found.ends.own != expected.ends.own:
        raise refused("it lacks tokens that end an answer of the tuned model")
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
