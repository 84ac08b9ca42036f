"""A judgement while it is made, and what it came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuneflow_client.cli import wording
from finetuneflow_client.cli.view.files import bar

if TYPE_CHECKING:
    from rich.table import Table

    from finetuneflow.training.v1 import judgement_pb2


class JudgeView:
    """Shows pairs being judged."""

    def __init__(self, title: str) -> None:
        self._title = f"judge {title}"
        self._done, self._total = 0, 0

    def update(self, done: int, total: int) -> None:
        """Take in how many are judged."""
        self._done, self._total = done, total

    def mark(self) -> tuple[str, float]:
        """Return the share that is judged."""
        return "judge", self._done / self._total if self._total else 0.0

    def line(self) -> str:
        """Return it in one line: "judge r1: 3/24 pairs"."""
        return f"{self._title}: {wording.counted(self._done, self._total, 'pairs')}" if self._total else ""

    def __rich__(self) -> Table:
        """Return it as a bar."""
        return bar(
            self._title, self._done, self._total, wording.counted(self._done, self._total, "pairs"), "in both orders"
        )


def win_rate_line(found: judgement_pb2.WinRate) -> str:
    """Return a win rate in words; "" where nothing was judged."""
    judged = found.wins + found.losses + found.ties
    left = f", {found.unjudged} without a verdict" if found.unjudged else ""
    if not judged:
        return left.removeprefix(", ")
    return (
        f"{found.rate:.0%} of {judged} (95 %: {found.low:.0%} to {found.high:.0%}): {found.wins} won, "
        f"{found.losses} lost, {found.ties} tied{left}"
    )
