"""Space that a run needs where runs keep their files. Pure."""

from __future__ import annotations

from services.common.errors import Exhausted
from services.training.core_problems import Problems


def judge_disk(low: float, high: float, free: int, problems: Problems) -> None:
    """Add that the space does not suffice, if so it is.

    Args:
        low, high: what the run takes at most, in bytes, as a range.
        free: bytes; 0 where nobody knows.
    """
    if free and high > free:
        add = problems.refuse if low > free else problems.warn
        add(
            Exhausted(
                f"This run needs {low / 1e9:.1f} to {high / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free where "
                "runs keep their files. Free space, or train an adapter instead of every weight.",
                reason="DISK_FULL",
            )
        )
