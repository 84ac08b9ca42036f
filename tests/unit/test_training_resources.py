"""What a run may ask of the place where it runs."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.errors import InvalidArgument
from services.common.jobs.port import Resources, check_gpus
from services.common.jobs.quantity import parse_quantity
from services.training.core_problems import Problems
from services.training.core_resources import checked


def test_what_is_not_said_is_left_to_the_server() -> None:
    """But a run always has a node."""
    assert checked({}) == Resources(nodes=1)


def test_what_is_said_is_taken_as_it_comes_from_the_contract() -> None:
    """Numbers of 64 bits are strings in protobuf's JSON."""
    asked = checked({"gpus": 0, "memory": "64Gi", "queue": "team-a", "active_deadline_seconds": "7200", "nodes": 2})

    assert asked == Resources(gpus=0, memory="64Gi", queue="team-a", active_deadline_seconds=7200, nodes=2)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"gpus": -1}, "gpus"),
        ({"gpus": 129}, "gpus"),
        ({"nodes": 65}, "nodes"),
        ({"nodes": -1}, "nodes"),
        ({"active_deadline_seconds": "-5"}, "active_deadline_seconds"),
        ({"queue": "no spaces"}, "queue"),
        ({"queue": "x" * 64}, "queue"),
        ({"priority_class": "Upper"}, "priority_class"),
        ({"gpu_product": "a/b"}, "gpu_product"),
        ({"gpus": 0, "gpu_product": "NVIDIA-L4"}, "gpu_product"),
    ],
)
def test_what_nobody_could_give_is_refused_by_name(given: dict[str, Any], field: str) -> None:
    """The error names the field and what it may be."""
    with pytest.raises(InvalidArgument) as caught:
        checked(given)
    assert caught.value.field == f"resources.{field}"


@pytest.mark.parametrize(
    ("text", "value"),
    [("8", 8), ("500m", 0.5), ("1.5", 1.5), ("64Gi", 64 * 2**30), ("1e9", 10**9), ("2k", 2000), ("3E", 3 * 10**18)],
)
def test_quantities_are_those_of_kubernetes(text: str, value: float) -> None:
    """Decimal and binary units, thousandths, exponents."""
    assert float(parse_quantity(text)) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "much", "1 Gi", "1GiB", "Gi", "1e999", "9" * 40, "1K"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Also nothing at all: who wants the default leaves it out."""
    with pytest.raises(InvalidArgument):
        parse_quantity(text)


def test_a_machine_gives_no_more_gpus_than_it_has() -> None:
    """In a cluster the run waits for them; what is not said is never too much."""
    check_gpus(99, None)
    check_gpus(2, 2)
    check_gpus(None, 0)
    with pytest.raises(InvalidArgument, match="this machine has no GPU"):
        check_gpus(1, 0)


def test_what_two_say_alike_of_gpus_is_one_problem() -> None:
    """The machine and the estimate both look; without a GPU there is no number to ask for."""
    problems = Problems()
    for _ in range(2):
        with problems.collect():
            check_gpus(2, 0)
    with pytest.raises(InvalidArgument) as refused:
        problems.require_none()

    assert refused.value.message == "gpus is 2, and this machine has no GPU. Leave it out: --gpus of `ftf`."
