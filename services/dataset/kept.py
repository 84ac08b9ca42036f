"""Results that are made of what never changes, kept for the next page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Kept(Generic[Result]):
    """The last few results by what they are made of.

    Args:
        weigh: how large a result is.
        most: largest sum of what is kept; what was not asked for longest goes first, and what is larger is not kept.
    """

    def __init__(self, weigh: Callable[[Result], int], most: int) -> None:
        self._weigh = weigh
        self._most = most
        self._results: OrderedDict[Hashable, Result] = OrderedDict()
        self._cleared = 0

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Result]]) -> Result:
        """Return the result of a key, made now if it is not there; what `make` raises is not kept."""
        if key in self._results:
            self._results.move_to_end(key)
            return self._results[key]
        begun = self._cleared
        made = await make()
        if begun != self._cleared:
            return made
        self._results[key] = made
        while sum(map(self._weigh, self._results.values())) > self._most:
            self._results.popitem(last=False)
        return made

    def clear(self) -> None:
        """Keep nothing of what there is, nor of what is being made."""
        self._cleared += 1
        self._results.clear()
