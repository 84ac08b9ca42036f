"""The report's pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot  # the backend is chosen first: there may be no screen

from finetuneflow.training.v1 import evaluation_pb2

_BASE, _TUNED, _HELD_OUT = "#9aa5b1", "#1f6feb", "#bf3989"


def loss_figure(losses: Sequence[float], evaluated: Sequence[tuple[float, float]] = ()) -> Any:
    """Draw the loss of every step, with a running mean where there are many, and what evaluations came to by step."""
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    steps = range(1, len(losses) + 1)
    axes.plot(steps, losses, color=_BASE if len(losses) >= 20 else _TUNED, linewidth=1, label="step")
    if len(losses) >= 20:
        axes.plot(steps, _running_mean(losses, len(losses) // 10), color=_TUNED, linewidth=2, label="running mean")
    if evaluated:
        axes.plot(*zip(*evaluated, strict=True), color=_HELD_OUT, marker="D", markersize=4, label="held out")
    if evaluated or len(losses) >= 20:
        axes.legend(frameon=False)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss per supervised token, nats")
    axes.set_title("Training loss")
    pyplot.close(figure)
    return figure


def evaluation_figure(evaluation: evaluation_pb2.Evaluation) -> Any:
    """Draw base against tuned for each set that has examples."""
    scores = (
        ("generalise", evaluation.generalise),
        ("recall", evaluation.recall),
        ("general knowledge", evaluation.forgetting.score),
    )
    sets = [(name, score) for name, score in scores if score.examples]
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for place, (_, score) in enumerate(sets):
        for shift, loss, colour, label in (
            (-0.2, score.base_loss, _BASE, "base"),
            (0.2, score.tuned_loss, _TUNED, "tuned"),
        ):
            bar = axes.bar(place + shift, loss, 0.38, color=colour, label=label if place == 0 else None)
            axes.bar_label(bar, fmt="%.3f", fontsize=9)
    axes.set_xticks(range(len(sets)), [f"{name}\n{score.examples} examples" for name, score in sets])
    axes.set_ylabel("loss per supervised token, nats")
    axes.set_title("Base against tuned: lower is better")
    if sets:
        axes.margins(y=0.2)
        axes.legend(frameon=False, loc="upper center", ncols=2)
    pyplot.close(figure)
    return figure


def _running_mean(values: Sequence[float], width: int) -> list[float]:
    means: list[float] = []
    for end in range(1, len(values) + 1):
        window = values[max(0, end - width) : end]
        means.append(sum(window) / len(window))
    return means


def png(figure: Any) -> bytes:
    """Return a figure as PNG, on white."""
    return _drawn(figure, format="png", dpi=120)


def svg(figure: Any) -> bytes:
    """Return a figure as SVG with letters as shapes, so that it looks the same everywhere, on whatever lies below."""
    # No date, and ids that follow from the drawing: the same figure gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "report"}):
        return _drawn(figure, format="svg", transparent=True, metadata={"Date": None})


def _drawn(figure: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, **options)
    return data.getvalue()
