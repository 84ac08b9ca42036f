"""How long the models of a run may hold what they have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How long models may hold what they have, in seconds.

    Args:
        give_way: without a question, until they make room for a Job that waits.
        place: that their Job may wait for its place; 0 for ever.
        most: from the start of their Job to its end; 0 for ever.
    """

    give_way: float
    place: float = 0.0
    most: int = 0


ON_ONE_MACHINE = Limits(give_way=5)
"""Models are loaded again in seconds there, and one Job works at a time."""
IN_A_CLUSTER = Limits(give_way=60, place=120, most=4 * 3600)
"""A pod takes longer to start, and something waits more often than not; a GPU is not held for ever."""
