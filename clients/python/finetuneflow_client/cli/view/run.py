"""A run while it trains: where it is, its newest numbers, the curve of its loss."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from finetuneflow_client import names
from finetuneflow_client.cli import wording
from finetuneflow_client.cli.view import curve
from finetuneflow_client.cli.view.series import Series

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.panel import Panel

    from finetuneflow.common.v1 import work_pb2, worker_service_pb2
    from finetuneflow.training.v1 import run_pb2, training_service_pb2

_HEIGHT = 8


class RunView:
    """Shows a run from what WatchRun sends."""

    def __init__(self, name: str) -> None:
        self.series = Series()
        self._title = names.short(name)
        self._state = "waiting"
        self._attempt = 0
        self._phase: worker_service_pb2.Phase | None = None
        self._log = ""
        self._work: work_pb2.Work | None = None
        self._priority = 0

    def update(self, update: training_service_pb2.WatchRunResponse) -> None:
        """Take in what is new."""
        if update.HasField("run"):
            self._take_run(update.run)
            return
        report = update.report
        self.series.add(report)
        if report.HasField("phase"):
            self._phase = report.phase
        elif report.HasField("log") and report.log.level in ("WARNING", "ERROR"):
            self._log = report.log.text

    def _take_run(self, run: run_pb2.Run) -> None:
        self._state = wording.state(run.work)
        self._attempt = run.work.attempt
        self._work = run.work
        self._priority = run.priority

    def mark(self) -> tuple[str, float]:
        """Return the phase and the share of it that is done."""
        name, done, total = self._at()
        reason, place = (self._work.waiting.reason, self._work.waiting.position) if self._work else (0, 0)
        return f"{self._state} {name} {self._attempt} {reason} {place}", done / total if total else 0.0

    def line(self) -> str:
        """Return the run in one line, "r1: train step 30/120, loss 1.234, …"; empty before there is any news."""
        if self._work is None and self._phase is None and not self.series.step:
            return ""
        name, done, total = self._at()
        if waiting := self._waiting():
            return f"{self._title}: {self._state}, {waiting}"
        if self._state == "succeeded":
            return f"{self._title}: succeeded after {wording.many(done, 'step')}"
        if name != "train":
            return f"{self._title}: {name or self._state} {self._count()}".rstrip()
        return ", ".join([f"{self._title}: train step {done}/{total}", *(f"{k} {v}" for k, v in self._numbers())])

    def __rich__(self) -> Panel:
        """Return the run as a panel: progress, numbers, curve."""
        from rich.columns import Columns
        from rich.console import Group
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        name, done, total = self._at()
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(justify="right", no_wrap=True)
        head.add_row(Text(name or self._state, "bold"), ProgressBar(total=total or None, completed=done), self._count())
        parts: list[RenderableType] = [head]
        if numbers := self._numbers():
            parts.append(Columns([Text.assemble((f"{key} ", "dim"), value) for key, value in numbers], padding=(0, 2)))
        if len(self.series.curve("loss")) > 1:
            parts.append(_LossPlot(self.series))
        if waiting := self._waiting():
            parts.append(Text(waiting, "yellow"))
        if self._log:
            parts.append(Text(self._log, "yellow", no_wrap=True, overflow="ellipsis"))
        again = f", attempt {self._attempt}" if self._attempt > 1 else ""
        return Panel(Group(*parts), title=f"run {self._title}: {self._state}{again}", title_align="left")

    def _waiting(self) -> str:
        """Return why nothing is at work on it; empty if something is, or nobody knows."""
        return wording.waiting(self._work, self._priority) if self._work else ""

    def _at(self) -> tuple[str, int, int]:
        """Return the phase with its count. While training, steps count, which come more often than phases."""
        phase = self._phase
        if phase is None or self._state == "succeeded":
            return ("train" if self.series.step else "", self.series.step, self.series.total_steps)
        if phase.name == "train":
            return "train", max(self.series.step, phase.done), self.series.total_steps or phase.total
        return phase.name, phase.done, phase.total

    def _count(self) -> str:
        """Return the count in words."""
        name, done, total = self._at()
        return wording.counted(done, total, "steps" if name == "train" or self._phase is None else self._phase.unit)

    def _numbers(self) -> list[tuple[str, str]]:
        """Return the newest numbers, in words."""
        latest, series = self.series.latest, self.series
        found = [
            (label, form.format(latest[key]))
            for label, key, form in (
                ("loss", "loss", "{:.4f}"),
                ("eval loss", "eval_loss", "{:.4f}"),
                ("eval margin", "eval_rewards/margins", "{:+.4f}"),
                ("accuracy", "mean_token_accuracy", "{:.1%}"),
                ("lr", "learning_rate", "{:.2e}"),
                ("grad norm", "grad_norm", "{:.3f}"),
            )
            if key in latest
        ]
        if speed := series.tokens_per_second():
            found.append(("speed", f"{speed:,.0f} tokens/s"))
        elif seconds := series.step_seconds():
            found.append(("speed", f"{seconds:.2f} s/step"))
        if "peak_memory_bytes" in latest:
            found.append(("memory", wording.memory(latest["peak_memory_bytes"])))
        if left := series.seconds_left():
            found.append(("left", wording.duration(left)))
        return found


class _LossPlot:
    """The loss as a line, the evaluation loss as diamonds, on the width that there is."""

    def __init__(self, series: Series) -> None:
        self._series = series

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        loss, evaluated = self._series.curve("loss"), self._series.curve("eval_loss")
        label = 8
        inside = curve.frame([loss, evaluated], max(options.max_width - label, 10), _HEIGHT, self._series.total_steps)
        diamonds = curve.cells(evaluated, inside)
        for row, drawn in enumerate(curve.line(loss, inside)):
            value = {0: f"{inside.high:.3f}", _HEIGHT - 1: f"{inside.low:.3f}"}.get(row, "")
            text = Text.assemble((f"{value:>{label - 2}} │", "dim"))
            text.no_wrap = True
            marked = {column for column, at in diamonds if at == row}
            for here, columns in groupby(range(len(drawn)), marked.__contains__):
                kept = list(columns)
                text.append("◆" * len(kept) if here else drawn[kept[0] : kept[-1] + 1], "magenta" if here else "cyan")
            yield text
        legend = "loss" + ("  ◆ eval loss" if evaluated else "")
        yield Text(f"{'':>{label - 1}}└ {legend} by step, 0 to {inside.right:.0f}", "dim")
