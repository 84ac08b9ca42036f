"""A loss that runs away: no number any more, or risen and staying high."""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.common.errors import NotReady


class Divergence:
    """Watches the loss of every step.

    It has diverged where each of `patience` losses in a row is above `factor` times the lowest loss of a step before,
    and above the loss of the first step: one hard batch is not enough, nor is a rise from next to nothing.

    Args:
        factor: over 1, or 0 for never; a loss that is no number is refused in any case.
        patience: steps in a row.
        losses: those of the steps done so far.
    """

    def __init__(self, factor: float, patience: int, losses: Sequence[float]) -> None:
        self._factor = factor
        self._patience = patience
        self._first = math.inf
        self._lowest = math.inf
        self._high = 0
        for loss in losses:
            self._note(loss)

    @property
    def rising(self) -> bool:
        """Whether the newest loss is too high."""
        return self._high > 0

    def take(self, loss: float, grad_norm: float, step: int) -> None:
        """Take the loss and the norm of the gradients of the next step.

        Raises:
            NotReady: with reason LOSS_DIVERGED; what the step left is not worth keeping.
        """
        for what, value in (("loss", loss), ("norm of the gradients", grad_norm)):
            if not math.isfinite(value):
                raise _diverged(f"The {what} became {value} at step {step}.", step)
        limit = self._limit()
        self._note(loss)
        if self._high >= self._patience:
            raise _diverged(
                f"The loss was above {limit:.4f} in each of the last {self._patience} steps, up to step {step}: more "
                f"than {self._factor:g} times its lowest, {self._lowest:.4f}, and more than at the first step.",
                step,
            )

    def _limit(self) -> float:
        return max(self._factor * self._lowest, self._first) if self._factor else math.inf

    def _note(self, loss: float) -> None:
        self._high = self._high + 1 if loss > self._limit() else 0
        if self._first == math.inf:
            self._first = loss
        self._lowest = min(self._lowest, loss)


def _diverged(what: str, step: int) -> NotReady:
    return NotReady(
        f"{what} Lower the learning rate.",
        reason="LOSS_DIVERGED",
        metadata={"step": str(step)},
    )
