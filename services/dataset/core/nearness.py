"""Near duplicates: texts that share most of their shingles, found by MinHash and banding (Broder 1997).

What the bands bring up is compared exactly, so that nothing is called near that is not; what they miss is bounded by
the number of rows, which is chosen so that a pair at the threshold is missed in at most 1 of 100 cases.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from services.dataset.core.bands import Bands, Keys, Signature, keys

PERMUTATIONS = 128
SHINGLE = 5
"""Characters of a shingle."""
LEAST_RECALL = 0.99
_MIX = np.uint64(0x9E3779B97F4A7C15)
_POWERS = np.array([pow(0x100000001B3, SHINGLE - 1 - i, 2**64) for i in range(SHINGLE)], dtype=np.uint64)

Hashes = npt.NDArray[np.uint64]


def _constants(name: str) -> Hashes:
    """Return as many 64-bit numbers as there are permutations, the same ones for ever."""
    digests = b"".join(hashlib.sha256(f"{name} {i}".encode()).digest()[:8] for i in range(PERMUTATIONS))
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


_FACTORS, _TERMS = _constants("factor") | np.uint64(1), _constants("term")


def shingles(text: str) -> Hashes:
    """Return the hashes of a text's shingles, each once, in order. A shorter text is its own one shingle."""
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    if len(letters) < SHINGLE:
        letters = np.pad(letters, (0, SHINGLE - len(letters)))
    many = len(letters) - SHINGLE + 1
    found = letters[:many] * _POWERS[0]
    for place in range(1, SHINGLE):
        found += letters[place : place + many] * _POWERS[place]
    found *= _MIX
    found ^= found >> np.uint64(31)
    found.sort()
    # As numpy.unique, in half of its time: texts are short.
    once = np.ones(many, dtype=np.bool_)
    np.not_equal(found[1:], found[:-1], out=once[1:])
    return np.asarray(found[once], dtype=np.uint64)


def jaccard(a: Hashes, b: Hashes) -> float:
    """Return the share of the shingles of both that both have, 0 to 1."""
    places = np.minimum(a.searchsorted(b), len(a) - 1)
    both = int(np.count_nonzero(a[places] == b))
    return both / (len(a) + len(b) - both)


def signature(found: Hashes) -> Signature:
    """Return the least hash of the shingles under each permutation."""
    permuted = found[:, None] * _FACTORS[None, :]
    permuted += _TERMS
    return np.asarray(permuted.min(axis=0) >> np.uint64(32), dtype=np.uint32)


def rows(threshold: float) -> int:
    """Return the most rows of a band for which a pair at the threshold is found in LEAST_RECALL of the cases."""
    return max(r for r in range(1, 33) if r == 1 or 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= LEAST_RECALL)


@lru_cache(maxsize=8)
def _sketch(text: str, wide: int) -> tuple[Hashes, Keys]:
    """Return a text's shingles and the keys of its bands; what is asked for is mostly added next."""
    found = shingles(text)
    return found, keys(signature(found), wide)


class Nearness:
    """Texts, and which of them a new one is near to. About 2 kB a text of 200 characters.

    Args:
        threshold: least Jaccard similarity of two texts' shingles that counts as near, over 0 to 1.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._rows = rows(threshold)
        self._bands = Bands(PERMUTATIONS // self._rows)
        self._known: list[Hashes] = []

    def near(self, text: str) -> list[int]:
        """Return the numbers of the texts that a text is near to, in the order in which they were added."""
        found, banded = _sketch(text, self._rows)
        return [n for n in self._bands.sharing(banded) if self._is_near(found, self._known[n])]

    def _is_near(self, a: Hashes, b: Hashes) -> bool:
        # Two texts are no nearer than the shorter is long: that is known without comparing them.
        least, most = sorted((len(a), len(b)))
        return least >= self._threshold * most and jaccard(a, b) >= self._threshold

    def add(self, text: str) -> int:
        """Remember a text and return its number: 0, 1, 2, …"""
        found, banded = _sketch(text, self._rows)
        number = len(self._known)
        self._known.append(found)
        self._bands.add(banded)
        return number
