"""Space that a run needs where runs keep their files, and hubs' models. Pure."""

from __future__ import annotations

import math

from services.common.errors import Exhausted
from services.training.core_problems import Problems


def judge_disk(low: float, high: float, free: int, limit: int, problems: Problems) -> None:
    """Add that the space does not suffice, if so it is.

    Args:
        low, high: what the run takes at most, in bytes, as a range.
        free: bytes; 0 where nobody knows.
        limit: bytes that each of its pods may fill; 0 without such a limit. It goes before `free`.
    """
    room = limit or free
    if not room or high <= room:
        return
    there = f"{free / 1e9:.1f} GB are free where runs keep their files. Free space"
    if limit:
        more = f"Ask for more with `--ephemeral-storage {math.ceil(high / 2**30)}Gi`"
        there = f"each of its pods gets {limit / 1e9:.1f} GB. {more}"
    add = problems.refuse if low > room else problems.warn
    add(
        Exhausted(
            f"This run needs {low / 1e9:.1f} to {high / 1e9:.1f} GB of disk; {there}, or train an adapter instead of "
            "every weight.",
            reason="DISK_FULL",
            field="resources.ephemeral_storage" if limit else "",
        )
    )


def judge_cache(fetched: int, most: int, problems: Problems) -> None:
    """Add that a hub's model does not fit into the cache that each pod has, if so it is.

    Args:
        fetched: what is fetched, in bytes.
        most: bytes that the cache may have; 0 without a limit of its own.
    """
    if most and fetched > most:
        problems.refuse(
            Exhausted(
                f"The model's weights are {fetched / 1e9:.1f} GB; the hub's cache of a pod has {most / 1e9:.1f} GB. "
                "Set the chart's cache.existingClaim, or a larger cache.size; or import the model.",
                reason="DISK_FULL",
                field="run.model",
            )
        )
