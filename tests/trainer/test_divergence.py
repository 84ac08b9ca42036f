"""A loss that runs away ends the training, and nothing less does."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from services.common.errors import NotReady
from services.trainer.divergence import Divergence
from services.trainer.uploads import Saved


def ends_at(losses: list[float], factor: float = 3, patience: int = 4, grad_norm: float = 1.0) -> int:
    """The step at which a training with these losses is stopped; 0 for none."""
    watch = Divergence(factor, patience, [])
    for step, loss in enumerate(losses, start=1):
        try:
            watch.take(loss, grad_norm, step)
        except NotReady as error:
            return step if error.reason == "LOSS_DIVERGED" else -1
    return 0


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        ([2.0, 1.0, 0.5, 9.0, 9.0, 9.0, 9.0, 9.0], 7),
        # One low loss among them begins the count anew.
        ([2.0, 1.0, 9.0, 9.0, 9.0, 1.0, 9.0, 9.0, 9.0], 0),
        # From next to nothing to little is many times as much, and still less than at first.
        ([2.0, 0.01, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 0),
        # Higher than at first, and less than three times the lowest.
        ([2.0, 1.9, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0], 0),
        ([2.0, math.nan], 2),
        ([math.inf], 1),
    ],
)
def test_a_loss_that_rises_and_stays_high_has_diverged(losses: list[float], step: int) -> None:
    """Above the factor times the lowest and above the first, so many times in a row; or no number at all."""
    assert ends_at(losses) == step


def test_a_gradient_that_is_no_number_ends_the_training_before_the_loss_is_none() -> None:
    """The weights are spoilt by then, though the step's loss was good."""
    assert ends_at([2.0, 1.9], grad_norm=math.inf) == 1


def test_it_can_be_switched_off() -> None:
    """But for what is no number."""
    assert ends_at([2.0, 0.1, *[99.0] * 50], factor=0) == 0
    assert ends_at([2.0, math.nan], factor=0) == 2


def test_a_resumed_training_counts_on() -> None:
    """From the losses before."""
    losses = [2.0, 1.0, 0.5, 9.0, 9.0, 9.0]
    watch = Divergence(3, 4, losses)

    assert watch.rising
    with pytest.raises(NotReady, match="up to step 7"):
        watch.take(9.0, 1.0, 7)


def test_a_checkpoint_that_waits_is_dropped_only_for_one_that_takes_its_place() -> None:
    """The best waits on for its upload, and so does one from before the loss rose."""
    plain, best, bad = (Saved(1, Path(), (), best=b, diverging=d) for b, d in ((0, 0), (1, 0), (0, 1)))

    assert plain.overtakes(plain)
    assert best.overtakes(plain)
    assert plain.overtakes(bad)
    assert not plain.overtakes(best)
    assert not bad.overtakes(plain)
