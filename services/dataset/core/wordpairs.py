"""Texts as sets of word pairs, packed: which are nearly the same, in some 20 bytes a word of them all.

Two sets whose Jaccard similarity is at least t share one of the n - ⌈tn⌉ + 1 rarest members of each, so only texts that
do are compared; of those, only such whose fingerprints do not rule it out. That is exact, unless more than 1,000 of the
texts that share such a member are in none of the largest group: comparing all of them would take the square of their
number. They are put in order by a MinHash, sixteen times by another one, and each is compared with the next four. Two
near texts have the same MinHash with a probability of at least t; 715 of 715 links of made-up texts were found.
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

WORD = re.compile(r"\w+")
_BLOCK = 1 << 20
_AT_ONCE = 1 << 18
"""Pairs of texts that are looked at together."""
LARGE = 1_000
"""Texts that share a pair from which on they are compared with few first, and with few alone if so many are left."""
_ORDERS = 16
_NEXT = 4
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_ALONE = 1 << 63
_ODD = np.random.default_rng(7).integers(1 << 62, 1 << 63, _ORDERS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
"""Each times a hash is another hash."""

Pairs = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]


class WordPairs:
    """Texts, told by their places: 0, 1, 2, … in the order in which they were added."""

    def __init__(self) -> None:
        # The number of each word, in the order in which they were met.
        self._words: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        self._all = array("Q")
        self._starts = array("Q", [0])

    def add(self, text: str) -> None:
        """Take in a text. CPU work: about 0.5 µs a word."""
        words = self._words
        ids = [words[word] for word in WORD.findall(text.lower())]
        # The only word of a text stands for itself.
        self._all.extend({a << 32 | b for a, b in pairwise(ids)} or {_ALONE | id for id in ids})
        self._starts.append(len(self._all))

    def links(self, threshold: float, large: int = LARGE) -> Iterator[tuple[int, int]]:
        """Yield pairs of near texts: what hangs together by near pairs, directly or over others, does so by these.

        The words are let go of: nothing can be added afterwards.

        Args:
            threshold: least Jaccard similarity of two texts that are near, over 0 to 1.
            large: of more texts than this that share a rare pair, and are not in one group, not all are compared.
        """
        self._words.clear()
        if len(self._all):
            all, starts = np.frombuffer(self._all, np.uint64), np.frombuffer(self._starts, np.uint64)
            yield from _Sets(all, starts.astype(np.int64), threshold, large).links()


class _Sets:
    """The sets, and which of them are known to hang together."""

    def __init__(self, all: Pairs, starts: Places, threshold: float, large: int) -> None:
        self._all = all
        self._starts = starts
        self._sizes = np.diff(starts)
        self._threshold = threshold
        self._large = large
        self._root = np.arange(len(self._sizes))
        self._members: dict[int, list[int]] = {}
        # Each member of a set marks one of 256 bits.
        self._marks = np.zeros((len(self._sizes), 4), dtype=np.uint64)

    def links(self) -> Iterator[tuple[int, int]]:
        """See WordPairs.links."""
        owners, starts, counts = self._meeting()
        many = counts > self._large
        for start, count in zip(starts[many].tolist(), counts[many].tolist(), strict=True):
            yield from self._many(owners[start : start + count])
        for size in np.unique(counts[~many]).tolist():
            left, right = np.triu_indices(size, 1)
            firsts = starts[counts == size]
            step = max(1, _AT_ONCE // len(left))
            for at in range(0, len(firsts), step):
                table = owners[firsts[at : at + step, None] + np.arange(size)]
                yield from self._linked(table[:, left].ravel(), table[:, right].ravel())

    def _meeting(self) -> tuple[Places, Places, Places]:
        """Return texts, those that have one of their rarest pairs in common side by side; where each such row begins
        and how many stand in it, two or more."""
        bits = min(24, max(10, len(self._all).bit_length() + 1))
        often = np.zeros(1 << bits, dtype=np.int32)
        for start in range(0, len(self._all), _BLOCK):
            often += np.bincount(_bucket(self._all[start : start + _BLOCK], bits), minlength=1 << bits)
        blocks = [self._rarest(first, last, often, bits) for first, last in self._blocks()]
        pairs, owners = (np.concatenate(part) for part in zip(*blocks, strict=True))
        order = np.lexsort((owners, pairs))
        pairs, owners = pairs[order], owners[order].astype(np.int64)
        starts = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1])) if len(pairs) else np.arange(0)
        counts = np.diff(np.append(starts, len(pairs)))
        return owners, starts[counts > 1], counts[counts > 1]

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """Yield (first text, the one after the last) of blocks of texts with about _BLOCK pairs."""
        first, count = 0, len(self._sizes)
        while first < count:
            last = int(np.searchsorted(self._starts, self._starts[first] + _BLOCK, side="right")) - 1
            last = min(max(last, first + 1), count)
            yield first, last
            first = last

    def _rarest(self, first: int, last: int, often: npt.NDArray[np.int32], bits: int) -> tuple[Pairs, Places]:
        """Return the rarest pairs of some texts that others may have too, and whose each one is; and mark the texts."""
        start = self._starts[first]
        pairs = self._all[start : self._starts[last]]
        sizes = self._sizes[first:last]
        owners = np.repeat(np.arange(first, last), sizes)
        mark = _bucket(pairs, 8)
        np.bitwise_or.at(self._marks, (owners, mark >> 6), np.uint64(1) << (mark & 63).astype(np.uint64))
        seen = often[_bucket(pairs, bits)]
        order = np.lexsort((pairs, seen, owners))
        ranks = np.arange(len(pairs)) - np.repeat(self._starts[first:last] - start, sizes)
        wanted = np.repeat(sizes - np.ceil(self._threshold * sizes - 1e-9).astype(np.int64) + 1, sizes)
        kept = order[(ranks < wanted) & (seen[order] > 1)]
        return pairs[kept], owners[kept]

    def _many(self, places: Places) -> Iterator[tuple[int, int]]:
        """Compare many texts with each other: where they are nearly the same, most are joined by their neighbours."""
        yield from self._linked(places[:-1], places[1:])
        apart = self._apart(places)
        if len(apart) > self._large:
            yield from self._ordered(places)
            return
        for place in apart.tolist():
            others = places[self._root[places] != self._root[place]]
            yield from self._linked(np.full(len(others), place), others)

    def _apart(self, places: Places) -> Places:
        """Return those texts that are not in the largest group."""
        roots, counts = np.unique(self._root[places], return_counts=True)
        apart: Places = places[self._root[places] != roots[counts.argmax()]]
        return apart

    def _ordered(self, places: Places) -> Iterator[tuple[int, int]]:
        """Compare each text with the next few in several orders, in which near texts are likely to be neighbours."""
        blocks = range(0, len(places), _AT_ONCE // 8)
        least = np.concatenate([self._least(places[at : at + _AT_ONCE // 8]) for at in blocks])
        for number in range(_ORDERS):
            row = places[np.lexsort((least[:, number - 1], least[:, number]))]
            for step in range(1, _NEXT + 1):
                yield from self._linked(row[:-step], row[step:])

    def _least(self, places: Places) -> npt.NDArray[np.uint32]:
        """Return the MinHashes of some texts, a row for each."""
        sizes = self._sizes[places]
        ends = np.cumsum(sizes)
        pairs = self._all[np.repeat(self._starts[places] - ends + sizes, sizes) + np.arange(ends[-1])] * _SPREAD
        pairs ^= pairs >> np.uint64(32)
        least = [np.minimum.reduceat(pairs * odd, ends - sizes) >> np.uint64(32) for odd in _ODD]
        return np.stack(least, axis=1).astype(np.uint32)

    def _linked(self, left: Places, right: Places) -> Iterator[tuple[int, int]]:
        """Yield those of some pairs that are near and did not hang together before."""
        keep = self._possible(left, right)
        for a, b in zip(left[keep].tolist(), right[keep].tolist(), strict=True):
            if self._root[a] != self._root[b]:
                one, other = self._set(a), self._set(b)
                if len(one & other) / len(one | other) >= self._threshold:
                    self._join(a, b)
                    yield a, b

    def _possible(self, left: Places, right: Places) -> Truths:
        """Whether pairs may be near and are not known to hang together: by their sizes, then by their marks."""
        a, b = self._sizes[left], self._sizes[right]
        least = self._threshold / (1 + self._threshold) * (a + b) - 1e-6
        keep: Truths = (self._root[left] != self._root[right]) & (np.minimum(a, b) >= least)
        at = np.flatnonzero(keep)
        ours, theirs = self._marks[left[at]], self._marks[right[at]]
        shared = a[at] - np.bitwise_count(ours & ~theirs).sum(axis=1, dtype=np.int64)
        keep[at] = shared >= least[at]
        return keep

    def _set(self, place: int) -> set[int]:
        return set(self._all[self._starts[place] : self._starts[place + 1]].tolist())

    def _join(self, a: int, b: int) -> None:
        """Let two groups be one; the smaller takes the larger's root."""
        groups = sorted((int(self._root[a]), int(self._root[b])), key=lambda r: len(self._members.get(r, (r,))))
        small, large = (self._members.pop(root, [root]) for root in groups)
        self._root[small] = groups[1]
        large.extend(small)
        self._members[groups[1]] = large


def _bucket(pairs: Pairs, bits: int) -> Places:
    """Return which of 2**bits buckets a pair falls into; pairs that share one count as more frequent, which is safe."""
    return ((pairs * _SPREAD) >> np.uint64(64 - bits)).astype(np.int64)
