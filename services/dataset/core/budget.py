"""What generation may use at most: tokens and money.

Passed only by what nobody can know of: see docs/generation.md, "Budgets".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PER_MESSAGE = 16
"""Tokens that a chat template may put round one message."""
MOST_TOKENS = 1_000_000_000
"""Most tokens that a call is believed to have taken."""
Amount = tuple[float, float]
"""Tokens, and what they cost."""


@dataclass(frozen=True)
class Prices:
    """Price of a million tokens, in whatever currency the user counts in; 0 where it is not known."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return what some tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6

    def amount(self, prompt_tokens: float, completion_tokens: float) -> Amount:
        """Return some tokens as what a budget counts."""
        return prompt_tokens + completion_tokens, self.cost(prompt_tokens, completion_tokens)


NO_PRICES = Prices()


def most_prompt_tokens(messages: Sequence[dict[str, str]]) -> int:
    """Return more tokens than some messages can have: no tokenizer of bytes makes more than one token of a byte."""
    return sum(len(m["content"].encode()) + PER_MESSAGE for m in messages)


def counted(usage: Any, name: str) -> int:
    """Return a server's count of tokens; whatever it says, it is one that can be added up and stored.

    Raises:
        ValueError, TypeError, AttributeError, OverflowError: it is no number.
    """
    return min(max(0, int(usage.get(name) or 0)), MOST_TOKENS)


class Budget:
    """Tokens and money: what was used, and what calls in flight may still use, whichever endpoint is asked.

    Args:
        max_tokens, max_cost: 0 for no limit.
        tokens, cost: used before.

    Attributes:
        in_flight: calls that have reserved and not settled.
    """

    def __init__(self, max_tokens: int, max_cost: float, tokens: float = 0, cost: float = 0) -> None:
        self._max_tokens = max_tokens
        self._max_cost = max_cost
        self._tokens = tokens
        self._cost = cost
        self._held: Amount = (0, 0)
        self.in_flight = 0

    def refuses(self, most: Amount) -> str:
        """Return which limit a call of that much at most could pass: MAX_TOKENS_TOTAL, MAX_COST; "" if none."""
        if self._max_tokens and self._tokens + self._held[0] + most[0] > self._max_tokens:
            return "MAX_TOKENS_TOTAL"
        if self._max_cost and self._cost + self._held[1] + most[1] > self._max_cost:
            return "MAX_COST"
        return ""

    def reserve(self, most: Amount) -> None:
        """Set aside what a call may use at most; only after refuses said "" to the same."""
        self._held = (self._held[0] + most[0], self._held[1] + most[1])
        self.in_flight += 1

    def settle(self, reserved: Amount, used: Amount = (0, 0)) -> None:
        """Give back what was set aside and count what was used instead."""
        self._held = (self._held[0] - reserved[0], self._held[1] - reserved[1])
        self.in_flight -= 1
        self._tokens += used[0]
        self._cost += used[1]
