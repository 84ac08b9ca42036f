"""An export while it is made; what came of a run and of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from finetuneflow_client import names
from finetuneflow_client.cli import wording
from finetuneflow_client.cli.view.files import bar

if TYPE_CHECKING:
    from finetuneflow.export.v1 import export_pb2
    from finetuneflow.hardware.v1 import device_pb2, plan_pb2
    from finetuneflow.training.v1 import evaluation_pb2


class ExportView:
    """Shows an export from what WatchExport sends."""

    def __init__(self, name: str) -> None:
        self._title = names.short(name)
        self._export: export_pb2.Export | None = None

    def update(self, export: export_pb2.Export) -> None:
        """Take in the newest state."""
        self._export = export

    def mark(self) -> tuple[str, float]:
        """Return the phase and the share of it that is done."""
        if self._export is None:
            return "", 0.0
        at = self._export.work.progress
        return f"{wording.state(self._export.work)} {at.phase}", at.done / at.total if at.total else 0.0

    def line(self) -> str:
        """Return the export in one line: "x1: running, export 1/3 files"."""
        if self._export is None:
            return ""
        parts = [wording.state(self._export.work), wording.progress(self._export.work)]
        return f"export {self._title}: {', '.join(part for part in parts if part)}"

    def __rich__(self) -> RenderableType:
        """Return the export as a bar."""
        if self._export is None:
            return Text("")
        at = self._export.work.progress
        count = f"{at.done:,}/{at.total:,} {at.unit}" if at.total else ""
        return bar(f"export {self._title}", at.done, at.total, count, at.phase or wording.state(self._export.work))


def evaluation_table(found: evaluation_pb2.Evaluation) -> Table:
    """Return base against tuned: what the model learned of documents it saw, and of others, apart."""
    table = Table(title="Base model against tuned model", title_justify="left", title_style="bold")
    table.add_column("question")
    for column in ("examples", "base loss", "tuned loss", "change", "base perplexity", "tuned perplexity"):
        table.add_column(column, justify="right")
    for title, score in (
        ("generalise: documents it never saw", found.generalise),
        ("recall: new questions on documents it saw", found.recall),
    ):
        if not score.examples:
            table.add_row(title, "0", *["–"] * 5)
            continue
        change = (score.tuned_loss - score.base_loss) / score.base_loss if score.base_loss else 0.0
        table.add_row(
            title,
            str(score.examples),
            f"{score.base_loss:.4f}",
            f"{score.tuned_loss:.4f}",
            Text(f"{change:+.1%}", "green" if change < 0 else "red"),
            f"{score.base_perplexity:,.2f}",
            f"{score.tuned_perplexity:,.2f}",
        )
    return table


def samples_table(found: evaluation_pb2.Evaluation, limit: int = 4) -> Table | None:
    """Return answers of both models side by side; None if there are none."""
    if not found.samples:
        return None
    table = Table(title="Sample answers", title_justify="left", title_style="bold", show_lines=True)
    for column in ("question", "document's answer", "base model", "tuned model"):
        table.add_column(column, ratio=1, overflow="fold")
    for sample in found.samples[:limit]:
        question = Text.assemble(sample.prompt, (f"\n({sample.set})", "dim"))
        table.add_row(question, Text(sample.reference), Text(sample.base), Text(sample.tuned, "bold"))
    return table


def inventory_lines(found: device_pb2.Inventory) -> list[str]:
    """Return what a machine has, line by line."""
    lines = [
        f"{found.summary or found.node}",
        f"CPU      {wording.many(found.cpu_cores, 'core')}, {wording.size(found.memory_bytes)} memory, "
        f"{wording.size(found.memory_free_bytes)} free, {wording.size(found.disk_free_bytes)} disk free",
    ]
    for gpu in found.gpus:
        abilities = [name for name, has in (("bf16", gpu.bf16), ("4-bit", gpu.bitsandbytes_4bit)) if has]
        lines.append(
            f"GPU {gpu.index:<4} {gpu.product}, {wording.size(gpu.memory_bytes)}, "
            f"{wording.size(gpu.memory_free_bytes)} free, compute {gpu.compute_capability}, {', '.join(abilities)}"
        )
    if found.driver_version:
        lines.append(f"driver   {found.driver_version}, CUDA up to {found.cuda_version}")
    return lines


def estimate_table(found: plan_pb2.MemoryEstimate) -> Table:
    """Return what a training needs, part by part."""
    table = Table(title="Memory at the peak", title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for part in ("weights", "adapter", "gradients", "optimizer", "activations", "logits", "overhead"):
        if value := getattr(found, part):
            table.add_row(part, wording.size(value))
    table.add_section()
    verdict = Text("fits", "green") if found.fits else Text("does not fit", "red")
    table.add_row("peak", Text(wording.size(found.peak), "bold"))
    table.add_row(f"available ({found.device})", Text.assemble(wording.size(found.available), " — ", verdict))
    return table


def recommendation_panel(found: plan_pb2.Recommendation, settings: list[tuple[str, str]]) -> Panel:
    """Return the recommended settings with their reasons."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in settings:
        grid.add_row(name, value)
    for number, reason in enumerate(found.reasons):
        grid.add_row("" if number else "because", Text(reason, "italic"))
    fits = "fits" if found.estimate.fits else "does not fit"
    need = f"{wording.size(found.estimate.peak)} of {wording.size(found.estimate.available)}, {fits}"
    return Panel(grid, title=f"recommended: {need}", title_align="left")
