"""What generation was expected to take, beside what it took."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from finetuneflow_client.cli import wording

if TYPE_CHECKING:
    from finetuneflow.dataset.v1 import dataset_pb2


def estimate_rows(dataset: dataset_pb2.Dataset) -> list[tuple[str, str, str]]:
    """Return rows of what is counted, the range expected and what was measured; what is not known is empty."""
    expected, usage = dataset.estimate, dataset.usage
    rows = [
        ("calls", _range(expected.calls, _count), _count(usage.calls)),
        ("of them to the judge", _range(expected.judge_calls, _count), _count(usage.judge_calls)),
        ("texts embedded", _range(expected.embedded_texts, _count), _count(usage.embedded_texts)),
        ("prompt tokens", _range(expected.prompt_tokens, _count), _count(usage.prompt_tokens)),
        ("reply tokens", _range(expected.completion_tokens, _count), _count(usage.completion_tokens)),
        ("cost", _range(expected.cost, _money), _money(usage.cost)),
        ("time", _range(expected.seconds, wording.duration), wording.duration(usage.seconds)),
    ]
    optional = {
        "cost": expected.cost.high,
        "of them to the judge": expected.judge_calls.high,
        "texts embedded": expected.embedded_texts.high,
    }
    return [row for row in rows if optional.get(row[0], True)]


def estimate_basis(dataset: dataset_pb2.Dataset) -> str:
    """Return what an estimate rests on, in words."""
    calls = dataset.estimate.measured_calls
    if calls:
        return f"from {wording.many(calls, 'earlier call')} of this LLM"
    return (
        "tokens guessed from lengths, and the time is not known: this LLM has answered no calls yet; "
        "`ftf dataset preview` makes a few, and is measured"
    )


def _range(found: dataset_pb2.Range, said: Callable[[float], str]) -> str:
    if not found.high:
        return ""
    low, high = said(found.low), said(found.high)
    return low if low == high else f"{low} to {high}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return f"{value:,.4f}"
