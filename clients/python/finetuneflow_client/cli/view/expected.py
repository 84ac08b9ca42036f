"""What a run is expected to take, beside what it took."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from finetuneflow_client.cli import wording

if TYPE_CHECKING:
    from finetuneflow.training.v1 import estimate_pb2, run_pb2

HEAD = ("", "ESTIMATED", "LIKELY", "MEASURED")


def expected_rows(run: run_pb2.Run) -> list[tuple[str, str, str, str]]:
    """Return rows of what is counted, the range, the likely value and what was measured; "" where it was not yet."""
    expected, result = run.estimate, run.result
    cost = run.price_per_hour * (result.train_seconds + result.evaluation_seconds) / 3600
    quantities = (
        ("memory while training", "training_memory_bytes", result.training_peak_memory_bytes, wording.memory),
        ("memory while evaluating", "evaluation_memory_bytes", result.evaluation_peak_memory_bytes, wording.memory),
        ("tokens", "tokens", result.trained_tokens, _count),
        ("steps", "steps", result.steps, _count),
        ("training", "train_seconds", result.train_seconds, wording.duration),
        ("evaluation", "evaluation_seconds", result.evaluation_seconds, wording.duration),
        ("disk of the trainer", "disk_bytes", result.disk_bytes, wording.size),
        ("cost", "cost", cost, _price),
    )
    return [
        (name, *_said(getattr(expected, field), said), said(measured) if measured else "")
        for name, field, measured, said in quantities
        if field != "cost" or expected.HasField("cost")
    ]


def _said(found: estimate_pb2.Range, said: Callable[[float], str]) -> tuple[str, str]:
    low, likely, high = said(found.low), said(found.likely), said(found.high)
    return (low if low == high else f"{low} to {high}"), likely


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _price(value: float) -> str:
    return f"{value:,.4f}"
