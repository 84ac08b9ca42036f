"""What a machine has, what a training needs, and what is recommended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from finetuneflow_client.cli import wording

if TYPE_CHECKING:
    from finetuneflow.hardware.v1 import device_pb2, plan_pb2


def inventory_lines(found: device_pb2.Inventory) -> list[str]:
    """Return what a machine has, line by line."""
    lines = [
        f"{found.summary or found.node}",
        f"CPU      {wording.many(found.cpu_cores, 'core')}, {wording.memory(found.memory_bytes)} memory, "
        f"{wording.memory(found.memory_free_bytes)} free, {wording.size(found.disk_free_bytes)} disk free",
    ]
    for gpu in found.gpus:
        abilities = [name for name, has in (("bf16", gpu.bf16), ("4-bit", gpu.bitsandbytes_4bit)) if has]
        lines.append(
            f"GPU {gpu.index:<4} {gpu.product}, {wording.memory(gpu.memory_bytes)}, "
            f"{wording.memory(gpu.memory_free_bytes)} free, compute {gpu.compute_capability}, {', '.join(abilities)}"
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
            table.add_row(part, wording.memory(value))
    table.add_section()
    verdict = Text("fits", "green") if found.fits else Text("does not fit", "red")
    table.add_row("peak", Text(wording.memory(found.peak), "bold"))
    table.add_row(f"available ({found.device})", Text.assemble(wording.memory(found.available), " — ", verdict))
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
    return Panel(grid, title=f"recommended: needs {_need(found.estimate)}", title_align="left")


def recommendation_line(found: plan_pb2.Recommendation, settings: list[tuple[str, str]]) -> str:
    """Return the recommended settings with their reasons in one line."""
    chosen = ", ".join(f"{name} {value}" for name, value in settings)
    return f"recommended: {chosen}; needs {_need(found.estimate)}; {' '.join(found.reasons)}"


def _need(estimate: plan_pb2.MemoryEstimate) -> str:
    fits = "fits" if estimate.fits else "does not fit"
    return f"{wording.memory(estimate.peak)} of {wording.memory(estimate.available)}, {fits}"
