"""What a run asks of the place where it runs, as flags."""

from __future__ import annotations

from argparse import ArgumentTypeError

from finetuneflow_client.cli.grammar.settings import Setting

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Seconds(int):
    """Whole seconds, written as "90", "90s", "15m", "2h" or "1d"."""

    def __new__(cls, text: str) -> Seconds:
        """Read them. Raises ArgumentTypeError."""
        number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
        if not (number.isascii() and number.isdecimal()):
            raise ArgumentTypeError(f"{text!r} is no time: write 90, 15m, 2h or 1d")
        return super().__new__(cls, int(number) * _UNITS[unit])


RESOURCES = (
    Setting("gpus", int, "GPUs on each node; 0 to train on the CPU"),
    Setting("gpu_product", str, "their product, as the nodes are labelled: NVIDIA-H100-80GB-HBM3"),
    Setting("cpu", str, "CPU cores of each node: 8, 500m", metavar="QUANTITY"),
    Setting("memory", str, "main memory of each node: 64Gi", metavar="QUANTITY"),
    Setting("ephemeral_storage", str, "local disk of each node: 100Gi", metavar="QUANTITY"),
    Setting("shm_size", str, "shared memory of each node: 8Gi", metavar="QUANTITY"),
    Setting("nodes", int, "nodes that train together"),
    Setting("queue", str, "Kueue LocalQueue"),
    Setting("priority_class", str, "PriorityClass of its pods"),
    Setting(
        "active_deadline_seconds",
        Seconds,
        "longest time from start to end: 90 (seconds), 15m, 2h, 1d",
        flag="deadline",
        metavar="TIME",
    ),
)
