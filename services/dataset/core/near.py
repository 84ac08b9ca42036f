"""Which texts are nearly the same: exact, so that nothing similar enough is missed.

Two texts are near duplicates if the Jaccard similarity of their word pairs is at least a threshold; a cluster is what
hangs together by such pairs, directly or over others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import ceil

from services.dataset.core.wordpairs import WORD, WordPairs

NEAR = 0.7
"""Jaccard similarity of word pairs from which two examples are near duplicates."""
NEAR_DOCUMENT = 0.7
"""Estimated Jaccard similarity from which two documents are nearly identical."""
SKETCH = 256
"""Hashes of a document's sketch; the error of a similarity estimated from it is about 0.03."""
_ROUNDED = 1e-9


def shingles(text: str) -> frozenset[str]:
    """Return the word pairs of a text, in lower case; its only word if it has one."""
    words = WORD.findall(text.lower())
    return frozenset(map(" ".join, pairwise(words))) or frozenset(words)


class Groups:
    """Names that belong together: union-find; a group is named by its least member. Those alone cost nothing."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        """Whether a name belongs together with another."""
        return name in self._above

    def of(self, name: str) -> str:
        """Return the least member of a name's group."""
        root = name
        while (above := self._above.get(root, root)) != root:
            root = above
        while (above := self._above.get(name, name)) != root:
            self._above[name], name = root, above
        return root

    def join(self, a: str, b: str) -> None:
        """Put two groups together."""
        first, second = sorted((self.of(a), self.of(b)))
        if first != second:
            self._above.setdefault(first, first)
            self._above[second] = first


def clusters(texts: WordPairs, names: Sequence[str], threshold: float = NEAR) -> Groups:
    """Return the clusters of some texts.

    Args:
        names: what each of them is called, in the order in which they were added.
    """
    groups = Groups()
    for a, b in texts.links(threshold):
        groups.join(names[a], names[b])
    return groups


def sketch(texts: Iterable[str]) -> list[int]:
    """Return a document's sketch: the least hashes of its word pairs, sorted. CPU work: about 1 ms a page."""
    found: set[int] = set()
    for text in texts:
        for item in shingles(text):
            found.add(int.from_bytes(hashlib.blake2b(item.encode(), digest_size=6).digest(), "big"))
    return sorted(found)[:SKETCH]


def alike(a: Sequence[int], b: Sequence[int]) -> float:
    """Return the Jaccard similarity of two documents, estimated from their sketches."""
    least = sorted(set(a) | set(b))[:SKETCH]
    return len(set(a) & set(b) & set(least)) / len(least) if least else 0.0


def documents(sketches: Mapping[str, Sequence[int]], threshold: float = NEAR_DOCUMENT) -> Groups:
    """Return the groups of nearly identical documents. CPU work: some 0.3 ms a document."""
    groups = Groups()
    often = Counter(item for found in sketches.values() for item in found)
    index: dict[int, list[str]] = {}
    for name in sorted(sketches):
        found, ours = sketches[name], set(sketches[name])
        # Documents that are alike share so much of their sketches that they share one of these rarest hashes too.
        least = ceil(threshold * len(found) - _ROUNDED)
        rarest = sorted(found, key=lambda item: (often[item], item))[: len(found) - least + 1]
        for other in {other for item in rarest for other in index.get(item, ())}:
            theirs = sketches[other]
            if groups.of(other) == groups.of(name):
                continue
            enough = threshold * max(len(found), len(theirs)) - _ROUNDED
            if len(ours.intersection(theirs)) >= enough and alike(theirs, found) >= threshold:
                groups.join(other, name)
        for item in rarest:
            index.setdefault(item, []).append(name)
    return groups
