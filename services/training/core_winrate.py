"""How often one of two was better, and how sure that is. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

TUNED, BASE, TIE, UNJUDGED = "tuned", "base", "tie", ""
_Z = 1.959963984540054
"""The normal distribution's 97.5 % point: an interval of 95 %."""


def win_rate(better: Sequence[str]) -> dict[str, Any]:
    """Return the counts of verdicts, the tuned model's win rate with ties as halves, and its Wilson interval.

    Args:
        better: of each pair TUNED, BASE, TIE or UNJUDGED; the last counts nowhere else.
    """
    counts = Counter(better)
    judged = counts[TUNED] + counts[BASE] + counts[TIE]
    won = counts[TUNED] + counts[TIE] / 2
    low, high = wilson(won, judged)
    return {
        "wins": counts[TUNED],
        "losses": counts[BASE],
        "ties": counts[TIE],
        "unjudged": counts[UNJUDGED],
        "rate": won / judged if judged else 0.0,
        "low": low,
        "high": high,
    }


def wilson(won: float, of: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927); from 0 to 1 of nothing."""
    if not of:
        return 0.0, 1.0
    share, z2 = won / of, _Z**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    return max(0.0, middle - half), min(1.0, middle + half)
