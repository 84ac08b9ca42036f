"""Base model against tuned model on examples that were not trained on."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional

from finetuneflow.training.v1 import evaluation_pb2
from services.common.chat.encode import IGNORED, Encoded
from services.trainer.tuned import Tuned

BATCH_TOKENS = 1024
"""Most tokens in a batch, padding included: logits over a large vocabulary take the most memory of an evaluation."""

Step = Callable[[int], None]


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Switch dropout and gradients off, and the key-value cache on."""
    was_training, cache = model.training, model.config.use_cache
    model.eval()
    model.config.use_cache = True
    try:
        with torch.no_grad():
            yield
    finally:
        model.config.use_cache = cache
        model.train(was_training)


def losses(
    tuned: Tuned, examples: Sequence[Encoded], pad: int, step: Step, rank: int = 0, size: int = 1
) -> tuple[float, float]:
    """Return the summed losses of the base and of the tuned model over one process's share of the examples."""
    with evaluating(tuned.model):
        after = total_loss(tuned.model, examples, pad, step, rank, size)
    with tuned.base() as base, evaluating(base):
        before = total_loss(base, examples, pad, step, rank, size)
    return before, after


def combine(examples: Sequence[Encoded], shares: Sequence[Sequence[float]]) -> evaluation_pb2.EvalScore:
    """Return the score of examples from what `losses` came to in every process."""
    tokens = sum(e.supervised for e in examples)
    if not tokens:
        return evaluation_pb2.EvalScore()
    base, tuned = (sum(share[i] for share in shares) / tokens for i in (0, 1))
    return evaluation_pb2.EvalScore(
        examples=len(examples),
        tokens=tokens,
        base_loss=base,
        tuned_loss=tuned,
        base_perplexity=_perplexity(base),
        tuned_perplexity=_perplexity(tuned),
    )


def total_loss(
    model: Any,
    examples: Sequence[Encoded],
    pad: int,
    step: Step = lambda done: None,
    rank: int = 0,
    size: int = 1,
) -> float:
    """Return the sum of the losses of all supervised tokens; see total_score."""
    return total_score(model, examples, pad, step, rank, size)[0]


def total_score(
    model: Any,
    examples: Sequence[Encoded],
    pad: int,
    step: Step,
    rank: int,
    size: int,
) -> tuple[float, int]:
    """Return the sum of the losses of all supervised tokens, in nats, summed in float64, and how many are foreseen.

    A token is foreseen that the model holds to be the likeliest. Of several processes each takes every `size`-th batch,
    from its rank on.
    """
    total, foreseen = 0.0, 0
    for batch in itertools.islice(batches(examples), rank, None, size):
        loss, hits = _batch_score(model, batch, pad)
        total, foreseen = total + loss, foreseen + hits
        step(len(batch))
    return total, foreseen


def batches(examples: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """Group examples of like length, at most BATCH_TOKENS with padding, or one alone if it is longer."""
    batch: list[Encoded] = []
    for example in sorted(examples, key=lambda e: len(e.input_ids), reverse=True):
        longest = len(batch[0].input_ids) if batch else 0
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(example)
    if batch:
        yield batch


def sequence_losses(model: Any, examples: Sequence[Encoded], pad: int, step: Step = lambda done: None) -> list[float]:
    """Return the summed loss of each example's supervised tokens, in nats, summed in float64."""
    found: dict[int, float] = {}
    for batch in batches(examples):
        losses, _, wanted = _tokens(model, batch, pad)
        parts = losses.double().split(wanted.sum(dim=1).tolist())
        found.update((id(example), float(part.sum())) for example, part in zip(batch, parts, strict=True))
        step(len(batch))
    return [found[id(example)] for example in examples]


def _batch_score(model: Any, batch: Sequence[Encoded], pad: int) -> tuple[float, int]:
    losses, hits, _ = _tokens(model, batch, pad)
    return float(losses.double().sum()), int(hits.sum())


def _tokens(model: Any, batch: Sequence[Encoded], pad: int) -> tuple[Any, Any, Any]:
    """Return losses of a batch's supervised tokens, whether each is foreseen, and where they stand."""
    width = max(len(e.input_ids) for e in batch)
    ids = torch.full((len(batch), width), pad)
    labels = torch.full((len(batch), width), IGNORED)
    attention = torch.zeros((len(batch), width), dtype=torch.long)
    for row, example in enumerate(batch):
        size = len(example.input_ids)
        ids[row, :size] = torch.tensor(example.input_ids)
        labels[row, :size] = torch.tensor(example.labels)
        attention[row, :size] = 1
    device = model.device
    logits = model(input_ids=ids.to(device), attention_mask=attention.to(device), use_cache=False).logits
    targets = labels[:, 1:].to(device)
    wanted = targets != IGNORED
    likely, right = logits[:, :-1][wanted].float(), targets[wanted]
    losses = functional.cross_entropy(likely, right, reduction="none")
    return losses, likely.argmax(-1) == right, wanted


def _perplexity(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
