"""Numbers written for people."""

from __future__ import annotations


def gib(size: int) -> str:
    """Return bytes in GiB, with one decimal below 100: "23.4 GiB"."""
    value = size / (1 << 30)
    return f"{value:.0f} GiB" if value >= 100 else f"{value:.1f} GiB"


def billions(count: int) -> str:
    """Return a number of parameters as people say it: "135M", "1.5B"."""
    return f"{count / 1e9:.1f}B" if count >= 950_000_000 else f"{max(count, 0) / 1e6:.0f}M"
