"""What runs took, over what was estimated for them: factors by which later estimates for such a device are corrected.

Each factor is the median of the newest runs, so that one run on a machine that did other things changes little, and
bounded, so that nothing measured can make an estimate absurd.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LAST = 20
"""Newest runs of a device that count."""

ANY_CPU = "cpu"
"""Stands for the processors of a cluster, where none is named before a run: what ran there is of one type."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "training_memory": (0.5, 2.0),
    "evaluation_memory": (0.5, 2.0),
    # Speeds differ more: the first guess knows no more of a processor than its cores.
    "train_seconds": (0.01, 100.0),
    "evaluation_seconds": (0.01, 100.0),
}


@dataclass(frozen=True)
class Calibration:
    """Factors for one type of device; `runs` is how many they were learnt from."""

    device: str
    runs: int = 0
    training_memory: float = 1.0
    evaluation_memory: float = 1.0
    train_seconds: float = 1.0
    evaluation_seconds: float = 1.0


def device_key(product: str) -> str:
    """Return the type that a product's name stands for: drivers, torch and labels write it with other signs."""
    return re.sub(r"[^a-z0-9]+", "-", product.lower()).strip("-")[:100]


def calibrated(device: str, measured: Sequence[Mapping[str, float]]) -> Calibration:
    """Return the factors from what runs took over what was estimated without any factor; 0 is not measured."""
    factors = {}
    for name, (low, high) in BOUNDS.items():
        known = [one[name] for one in measured if one.get(name, 0.0) > 0]
        factors[name] = min(max(statistics.median(known), low), high) if known else 1.0
    return Calibration(device, len(measured), **factors)


def ratio(measured: float, estimated: float, factor: float) -> float:
    """Return measured over estimated as it was before it was corrected by a factor; 0 if one of them is not known."""
    return measured / estimated * (factor or 1.0) if measured > 0 and estimated > 0 else 0.0
