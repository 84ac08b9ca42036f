"""The general set: questions of everyday knowledge and skill that no document of a company's answers.

A model that has learnt its documents by heart and forgotten how to answer these has not become a better assistant. The
set is the project's own, fixed, and part of no training.
"""

from __future__ import annotations

import json
from importlib import resources

from finetuneflow.training.v1 import evaluation_pb2
from services.common.chat.rows import Row

GENERAL = "GENERAL"
"""The set's name beside those of rows.py."""


def general_rows() -> list[Row]:
    """Return the set's 32 questions with their answers."""
    text = resources.files("services.trainer").joinpath("general.jsonl").read_text(encoding="utf-8")
    pairs = [json.loads(line) for line in text.splitlines()]
    return [
        Row(
            id=f"general/{number}",
            split=GENERAL,
            messages=(
                {"role": "user", "content": pair["prompt"]},
                {"role": "assistant", "content": pair["completion"]},
            ),
        )
        for number, pair in enumerate(pairs, start=1)
    ]


def forgetting(score: evaluation_pb2.EvalScore, most: float) -> evaluation_pb2.Forgetting:
    """Return the verdict on a score of the general set: how far the loss rose, against what is allowed.

    Args:
        most: nats per token that the loss may rise.
    """
    rise = score.tuned_loss - score.base_loss
    return evaluation_pb2.Forgetting(score=score, max_loss_increase=most, passed=not score.examples or rise <= most)
