"""Vectors of texts: read from a server's answer, stored as text, compared by the cosine of their angle."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.dataset.core.budget import counted

Vector = npt.NDArray[np.float32]
"""float32[dimensions], of length 1, so that a product of two is their cosine."""
BATCH = 32
"""Texts of one call: what a kill may lose of them."""
MAX_DIMENSIONS = 8192
MAX_ANSWER_BYTES = 8 << 20
"""Of a server's answer: BATCH vectors of MAX_DIMENSIONS are 6.6 MB, with 25 characters a number at most."""
MOST_BYTES = 400 << 20
"""Memory of the vectors that new ones are compared with: 102,400 of 1,024 dimensions."""
_FIRST = 256
_DOUBT = 1e-4
_DIGITS = 6


@dataclass(frozen=True)
class Embedded:
    """What a server answered to some texts.

    Args:
        vectors: one for each text, in their order.
        tokens: of all texts, as the server counted them; 0 where it does not.
        retries: calls that failed before this one.
        late: those of them that ran into their time limit: the server may have read their texts.
    """

    vectors: Sequence[Vector]
    tokens: int
    retries: int
    late: int = 0


def embedded(answer: Any, count: int, retries: int) -> Embedded:
    """Read an answer of OpenAI's form: {"data": [{"index", "embedding": […]}], "usage": {"prompt_tokens"}}.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, OverflowError: it is none for so many texts.
    """
    rows = answer["data"]
    places = [row.get("index", place) for place, row in enumerate(rows)]
    if sorted(places) != list(range(count)):
        raise ValueError(f"{len(rows)} vectors for {count} texts")
    found = dict(zip(places, (unit(row["embedding"]) for row in rows), strict=True))
    usage = answer.get("usage") or {}
    return Embedded([found[place] for place in range(count)], counted(usage, "prompt_tokens"), retries)


def unit(values: Sequence[float]) -> Vector:
    """Return numbers as a vector of length 1. Raises ValueError if they have no direction."""
    vector = np.asarray(values, dtype=np.float64)
    length = float(np.linalg.norm(vector)) if vector.ndim == 1 else 0.0
    if not 0 < vector.size <= MAX_DIMENSIONS or not np.isfinite(length) or not length:
        raise ValueError("an embedding without a direction")
    return np.asarray(vector / length, dtype=np.float32)


def packed(vector: Vector) -> str:
    """Return a vector as a text to store: little-endian float32 in base64."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def unpacked(text: str) -> Vector:
    """Return a stored vector."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)


class Vectors:
    """Vectors by name, the newest ones as many as fit into the memory, and which of them a new one is like. Exact.

    Args:
        threshold: least cosine that counts as alike.
        most_bytes: memory at most; beyond it the oldest is forgotten for each new one.
    """

    def __init__(self, threshold: float, most_bytes: int = MOST_BYTES) -> None:
        self._threshold = threshold
        self._most_bytes = most_bytes
        self._matrix: Vector = np.empty((0, 0), dtype=np.float32)
        self._names: list[str] = []
        self._added = 0

    def like(self, vector: Vector) -> Mapping[str, float]:
        """Return the names of those that a vector is like with their cosines, the most alike first."""
        if not self._fits(vector):
            return {}
        near = np.flatnonzero(self._matrix[: len(self._names)] @ vector >= self._threshold - _DOUBT)
        # How a matrix is multiplied depends on the machine: what is close to the threshold is looked at exactly.
        exact = np.round(self._matrix[near].astype(np.float64) @ vector.astype(np.float64), _DIGITS)
        found = [(float(cosine), place) for cosine, place in zip(exact, near, strict=True) if cosine >= self._threshold]
        return {self._names[place]: cosine for cosine, place in sorted(found, key=lambda pair: (-pair[0], pair[1]))}

    def add(self, name: str, vector: Vector) -> str:
        """Remember a vector and return the name of the one that is forgotten for it, "" if none is.

        One of another number of dimensions than the first is not remembered: then its own name is returned.
        """
        if self._names and not self._fits(vector):
            return name
        room = max(1, self._most_bytes // (4 * vector.size))
        place = self._added % room
        if place >= len(self._matrix):
            grown = np.empty((min(room, max(_FIRST, 2 * len(self._matrix))), vector.size), dtype=np.float32)
            grown[: len(self._names)] = self._matrix[: len(self._names)] if self._names else 0
            self._matrix = grown
        self._matrix[place] = vector
        forgotten = self._names[place] if place < len(self._names) else ""
        self._names[place : place + 1] = [name]
        self._added += 1
        return forgotten

    def _fits(self, vector: Vector) -> bool:
        return bool(self._names) and self._matrix.shape[1] == vector.size
