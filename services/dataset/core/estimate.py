"""What generation will take, said before it begins: ranges, from what was measured where something was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.dataset.core.budget import Prices
from services.dataset.core.purposes import EMBEDDED

Range = tuple[float, float]

_BYTES_PER_TOKEN = (5.0, 2.5)
"""Of a prompt, without a measurement: English prose has more bytes a token than tables and other scripts."""
_SHORTEST_REPLY = 30
_MEASURED = (0.8, 1.25)
"""How far tokens may be from what was measured before."""
_SPEED = (0.6, 1.6)
"""How far the time may be: servers have other work too."""
_MANY = 20
_OF_FEW = (0.5, 2.0)
"""How far replies and the time may be from what fewer calls than _MANY took."""
_FURTHER = (0.5, 1.0)
"""Share of the replies that something more is asked about, without a measurement: those that the checks let through."""


@dataclass(frozen=True)
class History:
    """What earlier calls of one purpose took, added up; all 0 if there were none.

    Args:
        prompt_bytes: UTF-8 bytes of their messages.
        seconds: of generation, with as many calls in flight as the endpoint allows.
        timed: calls of every purpose that were made in that time.
        faster: how many times as fast it may go, at least 1: fewer calls were in flight than the endpoint allows.
    """

    calls: float = 0
    prompt_bytes: float = 0
    prompt_tokens: float = 0
    completion_tokens: float = 0
    seconds: float = 0
    timed: float = 0
    faster: float = 1

    @classmethod
    def of(cls, usages: list[Mapping[str, Any]], purpose: str = "") -> History:
        """Return the history of some datasets' usages; those that lack a figure are left out.

        Args:
            purpose: "judge", "embed", or "" for the calls that were to bring examples.
        """
        found = [_of(usage, purpose) for usage in usages]
        needed = [name for name in _FIGURES if purpose != EMBEDDED or name != "completion_tokens"]
        whole = [u for u in found if all(u.get(name) for name in needed)]
        faster = max((usage.get("faster", 1) for usage in usages), default=1)
        return cls(**{name: sum(u[name] for u in whole) for name in _FIGURES}, faster=faster)


_FIGURES = ("calls", "prompt_bytes", "prompt_tokens", "completion_tokens", "seconds", "timed")
_SUMS = _FIGURES[:4]


def _of(usage: Mapping[str, Any], purpose: str) -> dict[str, float]:
    """Return the figures of one purpose's calls, and the time that all took."""
    parts = usage.get("parts", {})
    if purpose:
        found = {name: parts.get(purpose, {}).get(name, 0) for name in _SUMS}
    else:
        found = {name: usage.get(name, 0) - sum(part[name] for part in parts.values()) for name in _SUMS}
        found["calls"] += parts.get(EMBEDDED, {}).get("calls", 0)  # a text that was embedded is no call
    return {**found, "seconds": usage.get("seconds", 0), "timed": usage.get("calls", 0)}


@dataclass(frozen=True)
class Expected:
    """Calls of one purpose that are expected.

    Args:
        calls: fewest and most.
        prompt_bytes: UTF-8 bytes of the messages of a call, on average.
    """

    calls: Range
    prompt_bytes: float
    prices: Prices
    history: History

    def use(self, max_tokens: int) -> dict[str, Range]:
        """Return the ranges of what they take."""
        (low, high), past = self.calls, self.history
        if past.calls:
            tokens = self.prompt_bytes * past.prompt_tokens / past.prompt_bytes
            prompt = (low * tokens * _MEASURED[0], high * tokens * _MEASURED[1])
            reply, spread = past.completion_tokens / past.calls, _MEASURED if past.calls >= _MANY else _OF_FEW
            completion = (low * reply * spread[0], high * min(reply * spread[1], max_tokens))
        else:
            prompt = (low * self.prompt_bytes / _BYTES_PER_TOKEN[0], high * self.prompt_bytes / _BYTES_PER_TOKEN[1])
            completion = (low * min(_SHORTEST_REPLY, max_tokens), high * max_tokens)
        each = past.seconds / past.timed if past.timed else 0.0
        cost = (self.prices.cost(prompt[0], completion[0]), self.prices.cost(prompt[1], completion[1]))
        pace = _SPEED if past.calls >= _MANY else _OF_FEW
        seconds = (low * each * pace[0] / past.faster, high * each * pace[1])
        return {
            "calls": self.calls,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cost": cost,
            "seconds": seconds,
        }


def further(calls: Range, generation: History, asked: History) -> Range:
    """Return how many further calls so many calls bring, from the share of earlier ones that some were made about."""
    if not generation.calls or not asked.calls:
        return calls[0] * _FURTHER[0], calls[1] * _FURTHER[1]
    share = asked.calls / generation.calls
    return calls[0] * min(1.0, share * _MEASURED[0]), calls[1] * min(1.0, share * _MEASURED[1])


def estimate(
    spec: Mapping[str, Any], generation: Expected, judging: Expected | None = None, embedding: Expected | None = None
) -> dict[str, Any]:
    """Return the ranges of calls, tokens, cost and seconds; seconds are 0 to 0 where nothing was measured.

    Args:
        judging: the calls to a judge; None without one.
        embedding: the texts to embed, each as a call; None if there are none.
    """
    uses = [expected.use(spec["max_tokens"]) for expected in (generation, judging) if expected]
    found = {name: (sum(u[name][0] for u in uses), sum(u[name][1] for u in uses)) for name in uses[0]}
    if judging:
        found["judge_calls"] = judging.calls
        if not judging.history.timed:
            found["seconds"] = (0.0, 0.0)
    if embedding:
        texts = embedding.use(0)
        for name in ("prompt_tokens", "cost"):
            found[name] = (found[name][0] + texts[name][0], found[name][1] + texts[name][1])
        found["embedded_texts"] = embedding.calls
    bounds = _shares(found, spec)
    # A budget that ends the dearest course early allows more calls in the cheapest one.
    widest = (min(bounds), max(bounds))
    of = {name: bounds if name in ("prompt_tokens", "completion_tokens", "cost") else widest for name in found}
    ranges = {name: {"low": v[0] * of[name][0], "high": v[1] * of[name][1]} for name, v in found.items()}
    return {**ranges, "measured_calls": int(generation.history.calls)}


def _shares(found: Mapping[str, Range], spec: Mapping[str, Any]) -> Range:
    """Return which share of the low and the high figures the budgets let happen."""
    shares = [1.0, 1.0]
    for limit, uses in (
        (spec.get("max_tokens_total", 0), [found["prompt_tokens"][i] + found["completion_tokens"][i] for i in (0, 1)]),
        (spec.get("max_cost", 0), found["cost"]),
    ):
        for side in (0, 1):
            if limit and uses[side] > limit:
                shares[side] = min(shares[side], limit / uses[side])
    return shares[0], shares[1]
