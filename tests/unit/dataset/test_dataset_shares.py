"""Shares of an endpoint's calls, in simulated time: no store, no server, no sleep."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from services.dataset.core.pace import Pace
from services.dataset.core.shares import Holder, divide

LEASE = 10.0


@dataclass
class Replica:
    """What one replica knows: what it may begin, until when, and what it has begun."""

    allowed: int = 0
    until: float = 0.0
    in_flight: int = 0


@pytest.mark.parametrize("seed", range(20))
def test_the_calls_in_flight_of_all_replicas_never_pass_the_limit(seed: int) -> None:
    """Whoever renews, begins calls, ends them or is gone for good, in any order."""
    chance = random.Random(seed)
    most, now = chance.randint(1, 12), 1_000.0
    held: list[Holder] = []
    alive = {name: Replica() for name in "abcd"}
    for _ in range(3_000):
        now += chance.expovariate(1)
        name = chance.choice(sorted(alive))
        one = alive[name]
        done = chance.random()
        if done < 0.4:
            division = divide(held, name, most, now)
            one.allowed = min(one.allowed, division.allowed)
            held = division.kept(name, one.in_flight, now + LEASE, 0)
            one.allowed, one.until = division.allowed, now + LEASE
        elif done < 0.7:
            one.in_flight += one.in_flight < one.allowed and now < one.until
        elif done < 0.99:
            one.in_flight = chance.randint(0, one.in_flight)
        else:
            # Killed, and started anew under its name: its calls are gone with it.
            alive[name] = Replica()
        # A call outlives its replica's lease only where the replica stopped renewing: here each one is soon over.
        for other in alive.values():
            other.in_flight = other.in_flight if now < other.until else 0

        assert sum(other.in_flight for other in alive.values()) <= most


def test_a_share_grows_only_into_what_the_others_have_left() -> None:
    """The newcomer waits until the first one's calls are down to its half."""
    first = divide([], "a", 8, now=0)
    held = first.kept("a", 8, LEASE, 0)
    newcomer = divide(held, "b", 8, now=1)
    held = newcomer.kept("b", 0, 1 + LEASE, 0)
    lowered = divide(held, "a", 8, now=2)
    held = lowered.kept("a", 6, 2 + LEASE, 0)
    soon = divide(held, "b", 8, now=3)
    held = divide(held, "a", 8, now=4).kept("a", 4, 4 + LEASE, 0)
    then = divide(held, "b", 8, now=5)

    assert (first.allowed, newcomer.allowed, lowered.allowed) == (8, 0, 4)
    assert (soon.allowed, then.allowed, then.fair) == (2, 4, 4)


def test_the_share_of_one_that_renews_no_more_is_everybodys() -> None:
    """At the moment at which its lease is over, and not before."""
    held = [Holder("a", 4, 10.0), Holder("b", 4, 20.0)]

    assert divide(held, "b", 8, now=9.9).allowed == 4
    assert divide(held, "b", 8, now=10).allowed == 8


def test_with_fewer_calls_than_replicas_they_take_turns() -> None:
    """Nobody waits for ever."""
    names = ("a", "b", "c")
    held = [Holder(name, 0, 1e9) for name in names]
    turns = [[divide(held, name, 1, now=60.0 * n).fair for name in names] for n in range(3)]

    assert [sum(turn) for turn in turns] == [1, 1, 1]
    assert [sum(turn[n] for turn in turns) for n in range(3)] == [1, 1, 1]


def test_a_pace_that_was_found_is_divided_among_those_who_are_there() -> None:
    """A newcomer begins with its part, and the others keep theirs."""
    known = Pace(64, 64)
    known.refused(1.0, 0.0, 31)
    held = [Holder("a", 64, LEASE, known.found)]
    newcomer = Pace(64, 4)
    newcomer.take_over(divide(held, "b", 64, now=1).pace)
    known.scale(1 / 2)

    assert (known.limit, newcomer.limit) == (15, 15)
    assert divide([Holder("a", 64, LEASE)], "b", 64, now=1).pace == 0
