"""What a machine has, what a training needs, and what is recommended."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from finetuneflow_client.cli import wording

if TYPE_CHECKING:
    from rich.panel import Panel
    from rich.table import Table

    from finetuneflow.hardware.v1 import device_pb2, plan_pb2

_WIDE = 100


def node_table(found: device_pb2.Inventory) -> Table:
    """Return a cluster's nodes, with what is free of what there is."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("NODE", "GPUS FREE", "PRODUCT", "EACH", "CPU FREE", "MEMORY FREE", "TAKES RUNS"):
        table.add_column(column)
    for node in found.nodes:
        table.add_row(
            node.name,
            f"{node.gpus_free} of {node.gpus}" if node.gpus else "-",
            node.gpu_product or ("unknown" if node.gpus else ""),
            (wording.memory(node.gpu_memory_bytes) + (", bf16" if node.bf16 else "")) if node.gpu_memory_bytes else "",
            f"{node.cpu_free_millicores / 1000:.1f} of {node.cpu_millicores / 1000:.1f}",
            f"{wording.memory(node.memory_free_bytes)} of {wording.memory(node.memory_bytes)}",
            Text(f"no: {node.problem}", "yellow") if node.problem else "yes",
        )
    return table


def inventory_lines(found: device_pb2.Inventory) -> list[str]:
    """Return what a machine has, line by line; of a cluster, what there is in all."""
    if found.nodes:
        return [found.summary]
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
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Memory at the peak", title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for part in ("weights", "adapter", "gradients", "optimizer", "activations", "logits", "overhead"):
        if value := getattr(found, part):
            table.add_row(part, wording.memory(value))
    table.add_section()
    verdict = Text("fits", "green") if found.fits else Text("does not fit", "red")
    table.add_row("peak", Text(wording.memory(found.peak), "bold"))
    known = Text.assemble(wording.memory(found.available), " — ", verdict) if found.available else Text("not known")
    table.add_row(f"available ({found.device})", known)
    return table


def recommendation_panel(found: plan_pb2.Recommendation, settings: list[tuple[str, str]]) -> Panel:
    """Return the recommended settings with their reasons."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in settings:
        grid.add_row(name, value)
    for number, reason in enumerate(found.reasons):
        grid.add_row("" if number else "because", Text(reason, "italic"))
    if found.HasField("alternative"):
        grid.add_row("next best", Text(found.alternative.reason, "italic"))
    return Panel(grid, title=f"recommended: needs {_need(found.estimate)}", title_align="left")


def recommendation_text(found: plan_pb2.Recommendation, settings: list[tuple[str, str]]) -> str:
    """Return the recommended settings with their reasons as plain lines, of 100 letters at most."""
    parts = [
        ("  ", ", ".join(f"{name} {value}" for name, value in settings)),
        *(("  because ", reason) for reason in found.reasons),
        *([("  next best: ", found.alternative.reason)] if found.HasField("alternative") else []),
    ]
    lines = [f"recommended: needs {_need(found.estimate)}"]
    for label, words in parts:
        lines += textwrap.wrap(words, _WIDE, initial_indent=label, subsequent_indent="    ", break_long_words=False)
    return "\n".join(lines)


def _need(estimate: plan_pb2.MemoryEstimate) -> str:
    if not estimate.available:
        return f"{wording.memory(estimate.peak)}; how much there is, is not known"
    fits = "fits" if estimate.fits else "does not fit"
    return f"{wording.memory(estimate.peak)} of {wording.memory(estimate.available)}, {fits}"
