"""Peaks of memory as ranges: from how long the examples are, and how far measured peaks were from the arithmetic.

The spreads are those that 97 % of 32 measured trainings and of their evaluations on a CPU lie within
(tests/bench/estimates.py). On a GPU they are a guess.
"""

from __future__ import annotations

import math
from dataclasses import replace

from services.hardware.core_evaluation import BATCH_TOKENS, evaluation_peak
from services.hardware.core_memory import LIBRARIES, Device, Plan, estimate
from services.hardware.core_parameters import Shape
from services.hardware.core_range import Range

LIBRARIES_SPREAD = 0.05
"""How far what the libraries take may be from LIBRARIES."""
_TRAINING = {"cpu": 0.16, "cuda": 0.25}
_EVALUATION = {"cpu": 0.20, "cuda": 0.35}


def training_peaks(shape: Shape, parameters: int, plan: Plan, longest: Range, device: Device) -> Range:
    """Return the peak while training, in bytes.

    Args:
        longest: tokens of the longest example within max_length.

    Raises:
        InvalidArgument: a target module that the model does not have.
    """

    def peak(length: float) -> float:
        chosen = plan if plan.packing else replace(plan, max_length=max(math.ceil(length), 1))
        return estimate(shape, parameters, chosen, device).peak

    return _spread(longest.map(peak), _TRAINING[device.kind], device)


def evaluation_peaks(
    shape: Shape, parameters: int, plan: Plan, longest: Range, device: Device, batch: int = BATCH_TOKENS
) -> Range:
    """Return the peak while evaluating, in bytes; see training_peaks and evaluation_peak."""
    peaks = longest.map(lambda length: evaluation_peak(shape, parameters, plan, device, int(length), batch))
    return _spread(peaks, _EVALUATION[device.kind], device)


def _spread(peak: Range, share: float, device: Device) -> Range:
    fixed = LIBRARIES[device.kind]
    margin = fixed * LIBRARIES_SPREAD
    low = peak.low - margin - share * max(peak.low - fixed, 0)
    return Range(max(low, 0), peak.likely, peak.high + margin + share * max(peak.high - fixed, 0))
