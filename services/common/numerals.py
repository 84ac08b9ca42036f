"""Numbers in messages, as people write them."""

from __future__ import annotations

_EXACT = 1e15
"""Whole numbers below it are exact in a double."""


def plain(value: float) -> str:
    """Return a number as people write it: "1,048,576", "0.1", "2e-05"; a whole number without an exponent."""
    whole = abs(value) < _EXACT and value == int(value)
    return f"{value:,.0f}" if whole else f"{value:g}"


def gib(size: float) -> str:
    """Return bytes of memory in binary units, as systems state them: "23.4 GiB", "512 MiB" below one."""
    value = size / 2**30
    if 0 < value < 1:
        return f"{size / 2**20:.0f} MiB"
    return f"{value:.0f} GiB" if value >= 100 else f"{value:.1f} GiB"
