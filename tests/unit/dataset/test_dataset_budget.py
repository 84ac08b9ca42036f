"""Budgets by themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.dataset.core.budget import Budget, Prices, most_prompt_tokens

CALLS = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1)), max_size=60)


@given(CALLS, st.integers(1, 4000), st.integers(1, 5))
def test_what_is_used_never_passes_the_limit_whatever_is_in_flight(
    calls: list[tuple[int, int, float, float]], most: int, at_once: int
) -> None:
    """Each call uses some of what was set aside for it; several are in flight."""
    budget = Budget(most, 0)
    used, flying = 0.0, []
    for prompt, completion, *shares in calls:
        if len(flying) == at_once:
            reserved, (p, c) = flying.pop(0)
            spent = int(reserved[0] * p) + int(reserved[1] * c)
            budget.settle(Prices().amount(*reserved), Prices().amount(spent, 0))
            used += spent
        if not budget.refuses(Prices().amount(prompt, completion)):
            budget.reserve(Prices().amount(prompt, completion))
            flying.append(((prompt, completion), shares))
    used += sum(int(reserved[0] * p) + int(reserved[1] * c) for reserved, (p, c) in flying)

    assert used <= most


def test_money_is_counted_by_the_prices() -> None:
    """A million of each costs their prices; the next call is refused before it could cost too much."""
    prices = Prices(prompt=0.5, completion=2)
    budget = Budget(0, 2.5, *prices.amount(1_000_000, 999_000))

    assert prices.cost(1_000_000, 1_000_000) == 2.5
    assert budget.refuses(prices.amount(0, 1_000)) == ""
    assert budget.refuses(prices.amount(1, 1_000)) == "MAX_COST"


def test_a_prompt_has_no_more_tokens_than_bytes() -> None:
    """Whatever the tokenizer; what a chat template adds is allowed for."""
    assert most_prompt_tokens([{"role": "user", "content": "Grüße"}]) == 7 + 16
