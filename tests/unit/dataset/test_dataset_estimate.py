"""Estimates by themselves."""

from __future__ import annotations

import pytest

from services.dataset.core.budget import NO_PRICES, Prices
from services.dataset.core.estimate import Expected, History, estimate
from services.dataset.measures import faster

SPEC = {"max_tokens": 512}
USAGE = {"calls": 100, "prompt_bytes": 200_000, "prompt_tokens": 50_000, "completion_tokens": 8_000, "seconds": 50}


def test_without_a_measurement_tokens_are_a_wide_guess_and_the_time_is_not_known() -> None:
    """What is not known is not made up."""
    found = estimate(SPEC, Expected((10, 10), 2000, NO_PRICES, History()))

    assert found["calls"] == {"low": 10, "high": 10}
    assert found["prompt_tokens"]["low"] < 10 * 2000 / 4.2 < found["prompt_tokens"]["high"]
    assert found["completion_tokens"]["high"] == 10 * 512
    assert found["seconds"] == {"low": 0, "high": 0}
    assert found["measured_calls"] == 0


def test_with_one_it_is_close_to_what_was_measured() -> None:
    """The same prompts take the same again."""
    found = estimate(SPEC, Expected((10, 20), 2000, Prices(1, 10), History.of([USAGE, {"calls": 5}])))

    assert found["measured_calls"] == 100
    assert found["prompt_tokens"] == {"low": pytest.approx(4000), "high": pytest.approx(12_500)}
    assert found["completion_tokens"] == {"low": pytest.approx(640), "high": pytest.approx(2000)}
    assert found["cost"]["high"] == pytest.approx((12_500 + 20_000) / 1e6)
    assert found["seconds"]["low"] < 5 < 10 < found["seconds"]["high"]


def test_with_a_few_calls_alone_the_range_is_wider_and_more_in_flight_may_be_faster() -> None:
    """Three calls of a preview, one second each, where a dataset may have eight times as many in flight."""
    few = {name: value * 3 / 100 for name, value in USAGE.items()} | {"faster": 8.0}
    found = estimate(SPEC, Expected((10, 20), 2000, NO_PRICES, History.of([few])))

    assert found["measured_calls"] == 3
    assert found["completion_tokens"] == {"low": pytest.approx(400), "high": pytest.approx(3200)}
    assert found["seconds"] == {"low": pytest.approx(10 * 0.5 * 0.5 / 8), "high": pytest.approx(20)}


def test_budgets_bound_what_is_expected() -> None:
    """Nothing is expected to pass its limit; fewer calls are made for it."""
    found = estimate({**SPEC, "max_tokens_total": 20_000}, Expected((100, 100), 2000, NO_PRICES, History.of([USAGE])))

    assert found["prompt_tokens"]["high"] + found["completion_tokens"]["high"] == pytest.approx(20_000)
    assert found["calls"]["low"] < 20_000 / 580 < found["calls"]["high"] < 100


@pytest.mark.parametrize(
    ("asked", "at_once", "times"), [(3, 2, 4 / 3), (3, 24, 8), (10, 8, 1.6), (4, 2, 1), (3, 1, 1), (10, 10, 1)]
)
def test_the_last_calls_of_a_preview_are_fewer_than_may_be_in_flight(asked: int, at_once: int, times: float) -> None:
    """Calls of one length, in turns: many go as much faster, and the least time that is expected is as much less."""
    preview = {**{name: value * asked / 100 for name, value in USAGE.items()}, "seconds": -(-asked // at_once) * 60}
    history = History.of([preview | {"faster": faster(asked, at_once)}])
    found = estimate(SPEC, Expected((1200, 1200), 2000, NO_PRICES, history))

    assert faster(asked, at_once) == pytest.approx(times)
    assert found["seconds"]["low"] == pytest.approx(1200 / at_once * 60 / 2)
