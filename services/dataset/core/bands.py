"""Which texts share a band of their signatures: a hash table in flat arrays, some 16 bytes a band of a text.

Dictionaries would take some 200 bytes a band.
"""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt

_FIRST_SLOTS = 1 << 10
_SPREAD = np.uint64(0x9E3779B97F4A7C15)

Signature = npt.NDArray[np.uint32]
Keys = npt.NDArray[np.uint32]


def keys(signature: Signature, rows: int) -> Keys:
    """Return a key for each band: a hash of that many numbers of the signature, and of the band's place."""
    bands = len(signature) // rows
    parts = signature[: bands * rows].reshape(bands, rows).astype(np.uint64)
    mixed = np.arange(1, bands + 1, dtype=np.uint64) * _SPREAD
    for row in range(rows):
        mixed = (mixed ^ parts[:, row]) * _SPREAD
        mixed ^= mixed >> np.uint64(29)
    return np.asarray(mixed >> np.uint64(32), dtype=np.uint32)


class Bands:
    """Texts by the keys of their bands; told by their numbers: 0, 1, 2, … in the order in which they were added.

    Keys have 32 bits, so that now and then a text is brought up that shares no band.

    Args:
        bands: how many each text has.
    """

    def __init__(self, bands: int) -> None:
        self._bands = bands
        # Of each band of each text: its key, and the entry before it in the same slot, counted from 1; 0 for none.
        self._keys = array("I")
        self._before = array("I")
        self._last = np.zeros(_FIRST_SLOTS, dtype=np.uint32)

    def sharing(self, wanted: Keys) -> list[int]:
        """Return the numbers of the texts that share a band with a text of these keys, in order."""
        keys, before = np.frombuffer(self._keys, np.uint32), np.frombuffer(self._before, np.uint32)
        found: set[int] = set()
        at = self._last[self._slots(wanted)]
        while len(at := at[(there := at > 0)]):
            wanted, entries = wanted[there], at - 1
            found.update((entries[keys[entries] == wanted] // self._bands).tolist())
            at = before[entries]
        return sorted(found)

    def add(self, keys: Keys) -> None:
        """Take in the next text."""
        first = len(self._keys) + 1
        if first + len(keys) > len(self._last) // 2:
            self._grow()
        self._keys.frombytes(keys.tobytes())
        self._link(keys, first)

    def _slots(self, keys: Keys) -> Keys:
        return keys & np.uint32(len(self._last) - 1)

    def _link(self, keys: Keys, first: int) -> None:
        """Put keys into their slots; the first of them is entry `first`."""
        slots = self._slots(keys)
        order = np.argsort(slots, kind="stable")
        sorted_slots, entries = slots[order], np.asarray(order + first, dtype=np.uint32)
        found = self._last[sorted_slots]
        together = sorted_slots[1:] == sorted_slots[:-1]
        found[1:][together] = entries[:-1][together]
        before = np.empty_like(found)
        before[order] = found
        self._before.frombytes(before.tobytes())
        self._last[sorted_slots] = entries  # of several in one slot the last one stays

    def _grow(self) -> None:
        self._last = np.zeros(4 * len(self._last), dtype=np.uint32)
        self._before = array("I")
        self._link(np.frombuffer(self._keys, np.uint32), 1)
