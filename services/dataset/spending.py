"""What one dataset may use and has used, whichever endpoints are asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from services.common.documents.port import Document
from services.common.errors import Exhausted
from services.dataset.core.budget import NO_PRICES, Amount, Budget, Prices
from services.dataset.core.purposes import EMBEDDED
from services.dataset.ports import Reply
from services.dataset.store import USAGE, Used, purpose


class BudgetReached(Exhausted):
    """A call could pass a budget, so it is not made; `reason` says which: MAX_TOKENS_TOTAL or MAX_COST."""


class Records(Protocol):
    """Where answered calls are recorded; see store.Calls."""

    async def get(self, uid: str, id: str) -> Document | None:
        """Return the record of a call, or None."""
        ...

    async def record(
        self, uid: str, id: str, reply: Reply, seconds: float, charged: tuple[float, float], prompt_bytes: int
    ) -> Document:
        """Record an answered call. Repeating it returns the first record."""
        ...

    async def recorded(self, uid: str) -> tuple[dict[str, Used], set[str]]:
        """Return what the recorded calls of a dataset used, by what they were made for, and their ids."""
        ...

    async def delete(self, uid: str) -> None:
        """Remove the calls of a dataset. Repeating it does nothing."""
        ...


class Spending:
    """The budget and the records of one attempt at a dataset.

    Args:
        prices: by purpose of a call, those of the endpoint that is asked.
    """

    def __init__(self, calls: Records, dataset: Document, prices: Mapping[str, Prices]) -> None:
        self.calls = calls
        self.uid: str = dataset["uid"]
        self._prices = prices
        self._most = dataset["spec"].get("max_tokens_total", 0), dataset["spec"].get("max_cost", 0.0)
        self._turn = asyncio.Lock()
        self._settled = asyncio.Event()
        self._stopped = ""
        self._budget = Budget(0, 0)
        self._used: dict[str, Used] = {}
        self._recorded: set[str] = set()

    async def begin(self) -> None:
        """Read what was recorded before; that is never bought again, and counts."""
        self._used, self._recorded = await self.calls.recorded(self.uid)
        charged = [self.prices(part).amount(*used.charged) for part, used in self._used.items()]
        self._budget = Budget(*self._most, sum(c[0] for c in charged), sum(c[1] for c in charged))

    async def forget(self) -> None:
        """Remove every record of the dataset, which was deleted."""
        await self.calls.delete(self.uid)

    def prices(self, purpose: str) -> Prices:
        """Return the prices of the calls that are made for something."""
        return self._prices.get(purpose, NO_PRICES)

    async def known(self, id: str) -> Document | None:
        """Return the record of a call that was answered before; None if there is none."""
        return await self.calls.get(self.uid, id) if id in self._recorded else None

    async def reserved(self, most: Amount) -> Amount:
        """Set the worst case aside, in the order of asking, once calls in flight have given back enough for it.

        Raises:
            BudgetReached: it could pass a budget, and no call in flight will give back enough.
        """
        async with self._turn:
            while reason := self._stopped or self._budget.refuses(most):
                if self._stopped or not self._budget.in_flight:
                    self._stopped = reason
                    raise BudgetReached(f"The next call could pass the budget ({reason}). Allow more.", reason=reason)
                self._settled.clear()
                await self._settled.wait()
            self._budget.reserve(most)
            return most

    def settle(self, reserved: Amount, used: Amount) -> None:
        """Give back what was set aside and count what was used instead."""
        self._budget.settle(reserved, used)
        self._settled.set()

    def count(self, id: str, record: Document) -> None:
        """Count a call that was answered and recorded now."""
        self._recorded.add(id)
        self._used.setdefault(purpose(id), Used()).add(record)

    def usage(self) -> dict[str, Any]:
        """Return what was used in all, the cost, and under "parts" the same figures by purpose."""
        total = {name: sum(used.figures[name] for used in self._used.values()) for name in USAGE}
        # A text that was embedded is no call: one call has many.
        total["calls"] = sum(used.figures["calls"] for part, used in self._used.items() if part != EMBEDDED)
        parts = {part: dict(used.figures) for part, used in self._used.items() if part}
        cost = sum(
            self.prices(part).cost(used.figures["prompt_tokens"], used.figures["completion_tokens"])
            for part, used in self._used.items()
        )
        return {**total, "cost": cost, **({"parts": parts} if parts else {})}
