"""What a run was expected to take beside what it took, as a section of its report."""

from __future__ import annotations

from collections.abc import Callable

from finetuneflow.training.v1 import estimate_pb2, run_pb2
from services.common.numerals import gib
from services.trainer.reportparts import Table, Text

_MEMORY = {
    "cuda": "Memory is what torch reserves on the GPU; the CUDA context is not in what was measured.",
    "cpu": "Memory is what the whole process has resident.",
}


def expected(spec: run_pb2.TrainSpec, result: run_pb2.RunResult) -> list[Table | Text]:
    """Return a table of ranges and of what was measured; nothing for a run of which nothing was expected."""
    if not spec.HasField("estimate"):
        return []
    estimate = spec.estimate
    seconds = result.train_seconds + result.evaluation_seconds
    training, evaluating = result.training_peak_memory_bytes, result.evaluation_peak_memory_bytes
    rows = [
        ("memory while training", _range(estimate.training_memory_bytes, _memory), _memory(training)),
        ("memory while evaluating", _range(estimate.evaluation_memory_bytes, _memory), _memory(evaluating)),
        ("tokens", _range(estimate.tokens, _count), _count(result.trained_tokens)),
        ("steps", _range(estimate.steps, _count), _count(result.steps)),
        ("seconds of training", _range(estimate.train_seconds, _count), f"{result.train_seconds:.1f}"),
        ("seconds of evaluating", _range(estimate.evaluation_seconds, _count), f"{result.evaluation_seconds:.1f}"),
        ("disk of the trainer", _range(estimate.disk_bytes, _size), _size(result.disk_bytes)),
    ]
    if estimate.HasField("cost"):
        rows.append(("cost", _range(estimate.cost, _price), _price(spec.price_per_hour * seconds / 3600)))
    libraries = f" {_memory(result.libraries_memory_bytes)} of it were there before the model."
    note = f"{_MEMORY[result.device]}{libraries if result.libraries_memory_bytes else ''} {estimate.note}"
    return [Table(("", "estimated", "measured"), rows), Text.of(note)]


def _range(found: estimate_pb2.Range, said: Callable[[float], str]) -> str:
    low, likely, high = said(found.low), said(found.likely), said(found.high)
    return likely if low == high else f"{low} to {high}, likely {likely}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _price(value: float) -> str:
    return f"{value:,.4f}"


def _memory(count: float) -> str:
    return gib(count) if count else "not measured"


def _size(count: float) -> str:
    if not count:
        return "not measured"
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
