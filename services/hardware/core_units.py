"""Numbers written for people."""

from __future__ import annotations


def billions(count: int) -> str:
    """Return a number of parameters as people say it: "135M", "1.5B"."""
    return f"{count / 1e9:.1f}B" if count >= 950_000_000 else f"{max(count, 0) / 1e6:.0f}M"
