"""What generation will take, said before it begins: ranges, from what was measured where something was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.dataset.core.budget import Prices

Range = tuple[float, float]

_BYTES_PER_TOKEN = (5.0, 2.5)
"""Of a prompt, without a measurement: English prose has more bytes a token than tables and other scripts."""
_SHORTEST_REPLY = 30
_MEASURED = (0.8, 1.25)
"""How far tokens may be from what was measured before."""
_SPEED = (0.6, 1.6)
"""How far the time may be: servers have other work too."""


@dataclass(frozen=True)
class History:
    """What earlier calls of an endpoint took, added up; all 0 if there were none.

    Args:
        prompt_bytes: UTF-8 bytes of their messages.
        seconds: of generation, with as many calls in flight as the endpoint allows.
    """

    calls: float = 0
    prompt_bytes: float = 0
    prompt_tokens: float = 0
    completion_tokens: float = 0
    seconds: float = 0

    @classmethod
    def of(cls, usages: list[Mapping[str, float]]) -> History:
        """Return the history of some datasets' usages; those that lack a figure are left out."""
        names = ("calls", "prompt_bytes", "prompt_tokens", "completion_tokens", "seconds")
        whole = [u for u in usages if all(u.get(name) for name in names)]
        return cls(**{name: sum(u[name] for u in whole) for name in names})


def estimate(
    calls: Range, prompt_bytes: float, spec: Mapping[str, Any], prices: Prices, history: History
) -> dict[str, Any]:
    """Return the ranges of calls, tokens, cost and seconds; seconds are 0 to 0 where nothing was measured.

    Args:
        calls: fewest and most calls that may be made.
        prompt_bytes: UTF-8 bytes of the messages of a call, on average.
    """
    low, high = calls
    if history.calls:
        tokens = prompt_bytes * history.prompt_tokens / history.prompt_bytes
        prompt = (low * tokens * _MEASURED[0], high * tokens * _MEASURED[1])
        reply = history.completion_tokens / history.calls
        completion = (low * reply * _MEASURED[0], high * min(reply * _MEASURED[1], spec["max_tokens"]))
        each = history.seconds / history.calls
        seconds = (low * each * _SPEED[0], high * each * _SPEED[1])
    else:
        prompt = (low * prompt_bytes / _BYTES_PER_TOKEN[0], high * prompt_bytes / _BYTES_PER_TOKEN[1])
        completion = (low * min(_SHORTEST_REPLY, spec["max_tokens"]), high * spec["max_tokens"])
        seconds = (0.0, 0.0)
    cost = (prices.cost(prompt[0], completion[0]), prices.cost(prompt[1], completion[1]))
    found = {"calls": calls, "prompt_tokens": prompt, "completion_tokens": completion, "cost": cost, "seconds": seconds}
    bounds = _shares(found, spec)
    # A budget that ends the dearest course early allows more calls in the cheapest one.
    widest = (min(bounds), max(bounds))
    of = {name: widest if name in ("calls", "seconds") else bounds for name in found}
    ranges = {name: {"low": v[0] * of[name][0], "high": v[1] * of[name][1]} for name, v in found.items()}
    return {**ranges, "measured_calls": int(history.calls)}


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
