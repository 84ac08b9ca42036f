"""Both models' answers to the same prompts, side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finetuneflow.training.v1 import evaluation_pb2
from services.common.chat.encode import Encoder
from services.common.chat.rows import Row
from services.trainer.evaluate import evaluating
from services.trainer.metrics import Answer, score_answers
from services.trainer.tuned import Tuned

SAMPLES = 6
"""Answers that a report shows side by side; also how many are made at a time, if their prompts are no longer than
MAX_PROMPT_TOKENS each."""
FEWEST_NEW_TOKENS, MOST_NEW_TOKENS = 48, 256
"""Between these an answer may be as long as the references beside it, and MORE_TOKENS longer."""
MORE_TOKENS = 16
MAX_PROMPT_TOKENS = 1024
"""Longer prompts are not asked on a CPU: an answer would take too long."""


Prompt = tuple[str, Row, list[int]]
"""A set's name, a row of it, and the tokens up to where the assistant is to answer."""


@dataclass(frozen=True)
class Answered:
    """One example, answered by both models.

    Args:
        set: "generalise" or "recall".
    """

    set: str
    row: Row
    base: str
    tuned: str


def longest_prompt(max_length: int, gpu: bool) -> int:
    """Return how many tokens a prompt that is asked may have: those of an example on a GPU, 1,024 on a CPU."""
    return max_length if gpu else MAX_PROMPT_TOKENS


def choose(generalise: Sequence[Row], recall: Sequence[Row], most: int) -> list[tuple[str, Row]]:
    """Return at most so many rows with their set's name, half of each where there are enough, spread over the set."""
    first = min(len(generalise), max(most // 2, most - len(recall)))
    second = min(len(recall), most - first)
    return [("generalise", r) for r in _spread(generalise, first)] + [("recall", r) for r in _spread(recall, second)]


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    return [rows[i * len(rows) // count] for i in range(count)]


def answer_both(
    tuned: Tuned, tokenizer: Any, encoder: Encoder, chosen: Sequence[tuple[str, Row]], step: Callable[[int], None]
) -> list[Answered]:
    """Let the tuned and the base model answer, greedily, each answer at most `longest_answer` tokens.

    Args:
        tuned: both models.
        tokenizer: decodes.
        encoder: makes prompts.
        chosen: from `choose`; asked together as long as their prompts have 6,144 tokens, padding included.
        step: hears how many more answers there are.
    """
    prompts = [(name, row, encoder.prompt_ids(row)) for name, row in chosen]

    def answers(model: Any) -> list[str]:
        found: list[list[int]] = []
        for batch in together(prompts):
            most = longest_answer(tokenizer, [row.reference for _, row, _ in batch])
            found += generate(model, tokenizer, [ids for _, _, ids in batch], most)
            step(len(batch))
        return [_text(tokenizer, tokens) for tokens in found]

    with evaluating(tuned.model):
        after = answers(tuned.model)
    with tuned.base() as base, evaluating(base):
        before = answers(base)
    return [Answered(name, row, before[i], after[i]) for i, (name, row, _) in enumerate(prompts)]


def together(prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    """Group prompts in their order: six, or fewer of long ones."""
    batch: list[Prompt] = []
    for prompt in prompts:
        width = max(len(ids) for _, _, ids in [*batch, prompt])
        if batch and (len(batch) == SAMPLES or width * (len(batch) + 1) > SAMPLES * MAX_PROMPT_TOKENS):
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch


def samples(answered: Sequence[Answered]) -> list[evaluation_pb2.SampleAnswer]:
    """Return at most 6 answers for a report, half of each set where there are enough."""
    sets = [[a for a in answered if a.set == name] for name in ("generalise", "recall")]
    first = min(len(sets[0]), max(SAMPLES // 2, SAMPLES - len(sets[1])))
    return [
        evaluation_pb2.SampleAnswer(
            example=a.row.id,
            set=a.set,
            prompt=a.row.prompt[-1]["content"],
            reference=a.row.reference,
            base=a.base,
            tuned=a.tuned,
        )
        for a in [*sets[0][:first], *sets[1][: SAMPLES - first]]
    ]


def write_answers(path: Path, answered: Sequence[Answered]) -> None:
    """Write every answer of both models as JSON Lines, for whoever compares them later."""
    rows = [
        {
            "set": a.set,
            "example": a.row.id,
            "prompt": _conversation(a.row),
            "reference": a.row.reference,
            "base": a.base,
            "tuned": a.tuned,
        }
        for a in answered
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _conversation(row: Row) -> str:
    """Return what was asked: the question alone, or every message with who says it."""
    if len(row.prompt) == 1:
        return str(row.prompt[0]["content"])
    return "\n".join(f"{message['role']}: {message.get('content') or ''}" for message in row.prompt)


def scored(score: evaluation_pb2.EvalScore, answered: Sequence[Answered], name: str) -> evaluation_pb2.EvalScore:
    """Return a set's score with the scores of the answers to it."""
    mine = [a for a in answered if a.set == name]
    if not mine:
        return score
    score.answers = len(mine)
    score.base_answers.CopyFrom(score_answers([Answer(a.row.task, a.row.reference, a.base) for a in mine]))
    score.tuned_answers.CopyFrom(score_answers([Answer(a.row.task, a.row.reference, a.tuned) for a in mine]))
    return score


def longest_answer(tokenizer: Any, references: Sequence[str]) -> int:
    """Return how many tokens an answer may have, 48 to 256: the longest reference's and 16 more."""
    longest = max(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in references)
    return min(max(longest + MORE_TOKENS, FEWEST_NEW_TOKENS), MOST_NEW_TOKENS)


def generate(model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], most: int) -> list[list[int]]:
    """Return greedy answers, each up to its end token and with it, at most `most` tokens."""
    ends = end_tokens(model, tokenizer)
    made = continued(model, tokenizer, prompts, most, eos_token_id=sorted(ends))
    return [_until_end(row, ends) for row in made]


def continued(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], most: int, **options: Any
) -> list[list[int]]:
    """Return what the library generates greedily after prompts: all equally long, at most `most` tokens.

    Args:
        options: further ones of the library's `generate`; what is left open is the model's own.
    """
    width = max(len(p) for p in prompts)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(end_tokens(model, tokenizer))
    ids = torch.full((len(prompts), width), pad)
    attention = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        attention[row, width - len(prompt) :] = 1
    made = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=attention.to(model.device),
        max_new_tokens=most,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=pad,
        **options,
    )
    return [row.tolist() for row in made[:, width:]]


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Return the ids that end an answer: those of the generation config and the tokenizer's own."""
    return {end for end in (*configured_ends(model.generation_config), tokenizer.eos_token_id) if end is not None}


def configured_ends(generation: Any) -> set[int]:
    """Return the ids at which generation settings end an answer."""
    configured = generation.eos_token_id
    return {end for end in (configured if isinstance(configured, list) else [configured]) if end is not None}


def _until_end(tokens: list[int], ends: set[int]) -> list[int]:
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[: place + 1]
    return tokens


def _text(tokenizer: Any, tokens: Sequence[int]) -> str:
    text: str = tokenizer.decode(tokens, skip_special_tokens=True)
    return text.strip()
