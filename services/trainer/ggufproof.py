"""Whether a GGUF file, loaded by llama.cpp, is the tuned model.

It was made from merged weights that were proven already, so what is left to go wrong is the file and the rounding:

- the file's chat template, its end token and its tokens of the fixed prompts are the base model's, to the letter, and
  llama.cpp's rendering of the template too;
- llama.cpp stops at the end token;
- each tensor's rounding error is no larger than its type's: root mean square of the error over that of the tensor;
- along the tuned model's own greedy answers, llama.cpp's probabilities are the tuned model's: the mean over the tokens
  of Σ p·(ln p - ln q) over the hundred likeliest (p llama.cpp's, q the tuned model's in float32), in nats.

Bounds of the last are about three times or more what a 135M model showed, which suffers from rounding more than larger
ones: 0.0001 with F16, 0.0002 BF16, 0.003 Q8_0, 0.016 Q6_K, 0.10 Q5_K_M, 0.06 Q4_K_M, 0.38 Q4_0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader

from services.trainer.acceptance import PROMPTS, logits_along, prompt_tokens
from services.trainer.answers import generate
from services.trainer.evaluate import evaluating
from services.trainer.failures import refused
from services.trainer.llama import Llama, loaded
from services.trainer.model import render

BOUNDS: Mapping[str, tuple[float, float]] = {
    "F32": (0.001, 1e-6),
    "F16": (0.005, 0.001),
    "BF16": (0.01, 0.004),
    "Q8_0": (0.03, 0.02),
    "Q6_K": (0.06, 0.05),
    "Q5_K_M": (0.3, 0.15),
    "Q4_K_M": (0.4, 0.2),
    "Q4_0": (1.2, 0.25),
}
"""By quantisation: the most that probabilities may differ, in nats, and the largest rounding error of a tensor."""

ANSWER_TOKENS = 8
LIKELIEST = 100


@dataclass(frozen=True)
class Reference:
    """What the tuned model says to one prompt.

    Args:
        messages: the prompt as a conversation; empty without a chat template.
        text: the prompt as the template renders it.
        tokens: the same.
        answer: its greedy answer.
        likely: for each token of the answer, the logarithm of every token's probability in that place.
    """

    messages: tuple[Mapping[str, str], ...]
    text: str
    tokens: tuple[int, ...]
    answer: tuple[int, ...]
    likely: Any


@dataclass(frozen=True)
class Found:
    """How a GGUF file did.

    Args:
        divergence: in nats, see above.
        agreement: share of the answers' tokens that were llama.cpp's choice too.
        places: tokens compared.
    """

    divergence: float
    agreement: float
    places: int


def references(model: Any, tokenizer: Any) -> list[Reference]:
    """Ask the tuned model the fixed prompts."""
    prompts = [prompt_tokens(tokenizer, text) for text in PROMPTS]
    with evaluating(model):
        answers = generate(model, tokenizer, prompts, ANSWER_TOKENS)
    along = logits_along(model, [[*tokens, *answer] for tokens, answer in zip(prompts, answers, strict=True)])
    made = []
    for text, tokens, answer, logits in zip(PROMPTS, prompts, answers, along, strict=True):
        messages = ({"role": "user", "content": text},) if tokenizer.chat_template else ()
        shown = render(tokenizer, messages) if messages else text
        likely = torch.log_softmax(logits[len(tokens) - 1 : -1], -1)
        made.append(Reference(messages, shown, tuple(tokens), tuple(answer), likely))
    return made


def prove(path: Path, expected: Sequence[Reference], tokenizer: Any, quantization: str, log: Path) -> Found:
    """Load a GGUF file with llama.cpp and compare.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED.
    """
    _require_file(path, tokenizer)
    with loaded(path, log) as llama:
        for one in expected:
            if llama.tokens(one.text) != list(one.tokens):
                raise refused("llama.cpp cuts a prompt into other tokens")
            if one.messages and llama.rendered(one.messages) != one.text:
                raise refused("llama.cpp renders the chat template in another way")
        if llama.forced(expected[0].tokens, tokenizer.eos_token_id) != []:
            raise refused("llama.cpp does not stop at the end token")
        found = _compare(llama, expected)
        bound = BOUNDS[quantization][0]
        if not found.divergence <= bound:
            raise refused(
                f"llama.cpp's probabilities differ by {found.divergence:.3g} nats, {bound:.3g} is allowed",
                found.divergence,
            )
    return found


def _require_file(path: Path, tokenizer: Any) -> None:
    try:
        fields = GGUFReader(path).fields
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise refused("its file is damaged") from error
    template, end = (fields.get(name) for name in ("tokenizer.chat_template", "tokenizer.ggml.eos_token_id"))
    if (template.contents() if template else None) != (tokenizer.chat_template or None):
        raise refused("its chat template is not the base model's")
    if (int(end.contents()) if end else None) != tokenizer.eos_token_id:
        raise refused("its end token is not the base model's")


def _compare(llama: Llama, expected: Sequence[Reference]) -> Found:
    total, same, places = 0.0, 0, 0
    for one in expected:
        for place, token in enumerate(one.answer):
            next_one = llama.after([*one.tokens, *one.answer[:place]], LIKELIEST)
            known = one.likely[place]
            total += sum(math.exp(p) * (p - float(known[number])) for number, p in next_one.likely.items())
            same += next_one.token == token
            places += 1
    return Found(total / places, same / places, places)
