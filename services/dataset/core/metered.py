"""Texts of which only so much may be read: a bound on what a parser does with them, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, SupportsIndex


@dataclass
class Reads:
    """What may still be read of some texts.

    Args:
        left: characters.
    """

    left: int

    def take(self, characters: int) -> None:
        """Count what is read now; ValueError if it is more than is left."""
        self.left -= characters
        if self.left < 0:
            raise ValueError("too much was read of a text")


class Metered(str):
    """A text that counts what is read of it by index or slice; so do its slices, and what is joined from them.

    ValueError is raised by the read that is too much.
    """

    __slots__ = ("_reads",)
    _reads: Reads

    def __new__(cls, text: str, reads: Reads) -> Self:
        """Return such a text; all that share `reads` share what may be read."""
        made = super().__new__(cls, text)
        made._reads = reads
        return made

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        found = super().__getitem__(key)
        self._reads.take(len(found))
        return Metered(found, self._reads) if isinstance(key, slice) else found

    def __add__(self, other: str) -> str:
        return Metered(super().__add__(other), self._reads)

    def __radd__(self, other: str) -> str:
        return Metered(other.__add__(str(self)), self._reads)
