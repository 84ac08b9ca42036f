"""A dataset while it is generated, what was dropped and why, and its examples with their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuneflow.dataset.v1 import example_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import wording
from finetuneflow_client.cli.view.files import bar
from finetuneflow_client.places import place

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.panel import Panel

    from finetuneflow.common.v1 import work_pb2
    from finetuneflow.dataset.v1 import dataset_pb2

# What the balance calls a call that has not been made: not yet, or because there are examples enough.
_NOT_MADE = ("NOT_MADE_YET", "LIMIT_REACHED", "ACCEPTED_REACHED", "MAX_TOKENS_TOTAL", "MAX_COST")

_BAR = 1000
"""Parts of a bar that shows a share."""


class DatasetView:
    """Shows a dataset from what WatchDataset sends."""

    def __init__(self, name: str) -> None:
        self._title = names.short(name)
        self._dataset: dataset_pb2.Dataset | None = None

    def update(self, dataset: dataset_pb2.Dataset) -> None:
        """Take in the newest state."""
        self._dataset = dataset

    def mark(self) -> tuple[str, float]:
        """Return the phase and the share of it that is done."""
        if self._dataset is None:
            return "", 0.0
        at = self._dataset.work.progress
        # What is waited for is a phase of its own, so that it is said at once.
        waiting = self._dataset.work.waiting.message
        return f"{wording.state(self._dataset.work)} {waiting or at.phase}", _share(self._dataset)

    def line(self) -> str:
        """Return the generation in one line."""
        if self._dataset is None:
            return ""
        told = wording.progress(self._dataset.work) or wording.state(self._dataset.work)
        goal = _goal(self._dataset)
        parts = [goal, told] if goal else [told]
        if waiting := wording.waiting(self._dataset.work):
            return f"{self._title}: {', '.join(parts)}; {waiting}"
        parts += [f"{value} {label}" for label, value in _figures(self._dataset) if not goal or label != "accepted"]
        dropped = wording.drops(all_drops(self._dataset))
        return f"{self._title}: " + ", ".join(parts) + (f"; dropped {dropped}" if dropped else "")

    def __rich__(self) -> RenderableType:
        """Return the generation as a panel: a bar, figures, drops by reason."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        if self._dataset is None:
            return Text("")
        at = self._dataset.work.progress
        count = wording.counted(at.done, at.total, at.unit)
        phase, figures = at.phase or wording.state(self._dataset.work), _figures(self._dataset)
        parts: list[RenderableType] = [bar(phase, at.done, at.total, count)]
        if goal := _goal(self._dataset):
            parts = [bar(phase, round(_share(self._dataset) * _BAR), _BAR, goal)]
            figures = [*([("", count)] if count else []), *figures[1:]]
        parts.append(Text("   ").join(Text.assemble(value, (f" {label}", "dim")) for label, value in figures))
        if dropped := wording.drops(all_drops(self._dataset)):
            parts.append(Text.assemble(("dropped ", "dim"), (dropped, "yellow")))
        if waiting := wording.waiting(self._dataset.work):
            parts.append(Text(waiting, style="yellow"))
        title = f"dataset {self._title}: {wording.state(self._dataset.work)}"
        return Panel(Group(*parts), title=title, title_align="left")


def _goal(dataset: dataset_pb2.Dataset) -> str:
    """Return how many of the examples that were asked for there are: "5 of 24 examples"; "" if no number was."""
    wanted = dataset.spec.accepted_examples or dataset.spec.max_examples
    return (
        f"{accepted(dataset):,} of {wording.many(wanted, 'example')}" if wanted and dataset.work.progress.total else ""
    )


def _share(dataset: dataset_pb2.Dataset) -> float:
    """Return the share that is done: of the examples asked for, or of the planned calls, whichever ends it sooner."""
    at, wanted = dataset.work.progress, dataset.spec.accepted_examples or dataset.spec.max_examples
    calls = at.done / at.total if at.total else 0.0
    return min(max(calls, accepted(dataset) / wanted), 1.0) if wanted else calls


def accepted(dataset: dataset_pb2.Dataset) -> int:
    """Return how many examples went on from the last stage."""
    return next((count.out for count in reversed(dataset.counts) if count.stage == "examples"), 0)


def all_drops(dataset: dataset_pb2.Dataset) -> list[tuple[str, int]]:
    """Return what was dropped at any stage, by reason; calls that were not made are no drops to look into."""
    totals: dict[str, int] = {}
    for stage in dataset.counts:
        for drop in stage.dropped:
            totals[drop.reason] = totals.get(drop.reason, 0) + drop.count
    return [(reason, count) for reason, count in totals.items() if reason not in _NOT_MADE]


def stage_rows(counts: list[work_pb2.StageCount]) -> list[tuple[str, str, str, str]]:
    """Return stages as rows: stage, in, out, drops by reason."""
    return [
        (c.stage, f"{getattr(c, 'in'):,}", f"{c.out:,}", wording.drops([(d.reason, d.count) for d in c.dropped]))
        for c in counts
    ]


def example_panel(example: example_pb2.Example) -> Panel:
    """Return one example with its evidence, and if it was dropped, why."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for message in example.messages:
        grid.add_row(message.role, Text(message.content, "bold" if message.role == "user" else ""))
    if not example.messages and example.task_type == "text":
        grid.add_row("text", Text(example.response))
    elif not example.messages:
        grid.add_row("prompt", Text(example.prompt, "bold"))
        if example.reasoning:
            grid.add_row("reasoning", Text(example.reasoning, "dim"))
        grid.add_row("response", Text(example.response))
    if example.evidence:
        grid.add_row("evidence", Text(example.evidence, "italic"))
    if asked := _asked(example):
        grid.add_row("asked for", Text(asked))
    source = ", ".join(part for part in (example.file_display_name, place(example.place)) if part)
    grid.add_row("source", Text(source or example.chunk))
    if example.flags:
        grid.add_row("flags", Text(", ".join(example.flags), "magenta"))
    if example.scores:
        grid.add_row("scores", Text(", ".join(f"{name} {example.scores[name]:.3g}" for name in sorted(example.scores))))
    if example.judge_reason:
        grid.add_row("judge", Text(example.judge_reason))
    if not example.accepted:
        grid.add_row("dropped", Text(f"{example.drop_reason} {example.drop_detail}".strip(), "yellow"))
    if said := _said(example):
        grid.add_row("review", Text(said))
    title = names.short(example.name) or ("accepted" if example.accepted else "dropped")
    return Panel(grid, title=title, title_align="left", border_style="green" if example.accepted else "yellow")


def _said(example: example_pb2.Example) -> str:
    """Return what a person said of an example, in words."""
    review = example.review
    state = {1: f"approved by {review.by}", 2: f"rejected by {review.by}"}.get(review.state, "")
    if review.lapsed:
        state = f"decided by {review.by} about the text before it was edited: that no longer counts, decide anew"
    tags = " ".join(f"#{tag}" for tag in review.tags)
    return "; ".join(part for part in (state, tags, review.note) if part)


def _asked(example: example_pb2.Example) -> str:
    """Return what was asked for beyond the task: the kind of question, the language, by whom."""
    kind = example_pb2.QuestionType.Name(example.question_type).removeprefix("QUESTION_TYPE_").lower()
    parts = [
        f"{kind} question" if example.question_type else "",
        f"to write in the language “{example.language}”" if example.language else "",
        f"by {example.persona}" if example.persona else "",
    ]
    return ", ".join(part for part in parts if part)


def _figures(dataset: dataset_pb2.Dataset) -> list[tuple[str, str]]:
    """Return the figures that people ask for while they wait: label and value."""
    usage = dataset.usage
    found = [("accepted", f"{accepted(dataset):,}")]
    if usage.seconds:
        found.append(("calls/s", f"{usage.calls / usage.seconds:.2f}"))
        found.append(("reply tokens/s", f"{usage.completion_tokens / usage.seconds:,.0f}"))
    found.append(("tokens", f"{usage.prompt_tokens + usage.completion_tokens:,}"))
    if usage.retries:
        found.append(("retries", f"{usage.retries:,}"))
    return found
