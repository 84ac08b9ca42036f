"""The pace of calls, in simulated time: no clock, no server, no sleep."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import pytest

from services.dataset.core.pace import Pace

TRANSIT = 0.002
LATENCY = 1.5
REFUSAL = 0.01


@dataclass
class Result:
    """Calls answered and refused, the seconds they took, and the last limit."""

    answered: int = 0
    refused: int = 0
    seconds: float = 0.0
    limit: int = 0

    @property
    def wasted(self) -> float:
        """Share of all calls that were refused."""
        return self.refused / (self.answered + self.refused)


def simulate(
    pace: Pace,
    capacity: int,
    calls: int,
    seed: int = 1,
    later: tuple[float, int] | None = None,
    now: float = 0,
    spread: float = 0.3,
) -> Result:
    """Make calls at a pace to a server that refuses what is over its capacity.

    Args:
        later: from that second on the server has another capacity.
        now: the time at which it begins, in seconds.
        spread: sigma of the latencies' lognormal distribution; 0 answers all calls that came together together.
    """
    chance, at_server, flying, first = random.Random(seed), 0, 0, now
    events: list[tuple[float, int, str, float, int]] = []
    result = Result()
    number = 0
    while result.answered < calls:
        while flying < pace.limit and now >= pace.resume_at:
            flying, number = flying + 1, number + 1
            heapq.heappush(events, (now + TRANSIT, number, "arrives", now, flying))
        now, id, kind, began, at_once = heapq.heappop(events)
        most = later[1] if later and now > later[0] else capacity
        if kind == "arrives" and at_server < most:
            at_server += 1
            heapq.heappush(events, (now + LATENCY * chance.lognormvariate(0, spread), id, "done", began, at_once))
        elif kind == "arrives":
            heapq.heappush(events, (now + REFUSAL, id, "refused", began, at_once))
        elif kind == "done":
            at_server -= 1
            heapq.heappush(events, (now + TRANSIT, id, "answered", began, at_once))
        else:
            result.answered += kind == "answered"
            result.refused += kind == "refused"
            pace.answered(max(at_once, flying)) if kind == "answered" else pace.refused(now, began, flying)
            flying -= 1
    result.seconds, result.limit = now - first, pace.limit
    return result


@pytest.mark.parametrize("capacity", [3, 8, 20, 50, 100, 180])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_capacity_of_an_unknown_server_is_found_and_hardly_a_call_wasted(capacity: int, seed: int) -> None:
    """Within 5 % of it, at most 2 % of the calls refused, from four calls in flight on."""
    pace = Pace(256, 4)
    result = simulate(pace, capacity, 10_000, seed)
    steady = simulate(pace, capacity, 5_000, seed + 10, now=result.seconds)
    ideal = 5_000 * LATENCY * 1.046 / capacity  # the mean of that lognormal

    assert abs(result.limit - capacity) <= max(1, 0.05 * capacity)
    assert result.wasted <= 0.02
    assert steady.wasted <= 0.02
    assert steady.seconds <= ideal / 0.95 + 3 * LATENCY


@pytest.mark.parametrize("capacity", [8, 20, 50, 100, 180])
def test_a_server_that_answers_all_at_the_same_moment_is_found_out_too(capacity: int) -> None:
    """Twice as many calls follow such answers at once: each refusal then takes one off."""
    result = simulate(Pace(256, 4), capacity, 10_000, spread=0)

    assert abs(result.limit - capacity) <= max(1, 0.05 * capacity)
    assert result.wasted <= 0.01


def test_calls_at_once_double_with_each_round_until_the_first_refusal() -> None:
    """From four to 256 in six rounds of answers."""
    result = simulate(Pace(256, 4), 1_000, 4 + 8 + 16 + 32 + 64 + 128, spread=0)

    assert result.limit == 256
    assert result.seconds < 6.1 * LATENCY


def test_an_hour_without_room_is_made_good_within_some_thousand_calls() -> None:
    """Where the server takes more again, each step is twice the one before."""
    pace = Pace(256, 256)
    for number in range(600):
        pace.refused(number, number - 0.5, pace.limit)
    least = pace.limit
    result = simulate(pace, 1_000, 4_000, now=600)

    assert least < 10
    assert result.limit == 256


def test_a_server_that_never_refuses_is_asked_up_to_the_ceiling() -> None:
    """It is the user's word that bounds it then."""
    result = simulate(Pace(64, 4), 1_000, 3_000)

    assert (result.limit, result.refused) == (64, 0)


def test_a_server_that_loses_half_of_its_capacity_is_followed_down() -> None:
    """Refusals one upon the other shrink the pace by a factor."""
    result = simulate(Pace(256, 4), 100, 12_000, later=(60.0, 50))

    assert abs(result.limit - 50) <= 3
    assert result.wasted <= 0.02


def test_a_server_that_gains_capacity_is_followed_up() -> None:
    """Twice as many more with every round of answers once a step up has held."""
    result = simulate(Pace(256, 4), 20, 30_000, later=(60.0, 60))

    assert abs(result.limit - 60) <= 3


def test_nobody_calls_before_retry_after_is_over() -> None:
    """The longest one that any call was told counts for all of them."""
    pace = Pace(8, 8)
    pace.refused(10, 9, 8, retry_after=5)
    pace.refused(10, 9, 7, retry_after=2)

    assert pace.resume_at == 15
    assert pace.limit == 6


def test_calls_that_run_into_their_time_limit_halve_the_pace_once() -> None:
    """Those that were under way at the same time tell nothing new."""
    pace = Pace(64, 64)
    for number in range(64):
        pace.refused(100 + number / 100, 0, 64, late=True)

    assert pace.limit == 32


def test_another_ceiling_keeps_what_was_found() -> None:
    """Where nothing was found, as many are asked as may be, or as few as at the beginning."""
    known, fixed, careful = Pace(64, 4), Pace(4, 4), Pace(64, 4)
    known.refused(10, 9, 20)
    found = known.limit
    known.bound(32, 4)
    fixed.bound(16, 16)
    careful.bound(2, 2)
    low = careful.limit
    careful.bound(64, 4)

    assert (found, known.limit, fixed.limit, low, careful.limit) == (3, 3, 16, 2, 4)
