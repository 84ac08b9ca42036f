"""Which side of the dataset an example is on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

TRAIN, EVAL, RECALL = "SPLIT_TRAIN", "SPLIT_EVAL", "SPLIT_RECALL"
ENOUGH_FOR_RECALL = 10
"""Training examples from which at least one is kept back."""


def _share(text: str) -> float:
    """Return a number in [0, 1) that the text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def document(example: Mapping[str, Any]) -> str:
    """Return what an example may not be parted from: its file, or for an imported one all with the same prompt."""
    return example["file"] or "prompt " + hashlib.sha256(example["prompt"].encode()).hexdigest()


def held_out(documents: Mapping[str, str], eval_fraction: float) -> frozenset[str]:
    """Return the documents held out for evaluation, the same ones every time.

    A document's own hash decides, so that adding documents moves no old one. If the hash holds out none of two or more,
    the lowest hash is held out; if it holds out all, the highest is trained on.

    Args:
        documents: name → SHA-256 of the bytes.
        eval_fraction: wanted share, 0 <= f < 1; 0 holds out none.
    """
    if eval_fraction <= 0 or len(documents) < 2:
        return frozenset()
    ranked = sorted(documents, key=lambda name: (_share("document" + documents[name]), name))
    chosen = {name for name in ranked if _share("document" + documents[name]) < eval_fraction}
    if not chosen:
        chosen = {ranked[0]}
    if len(chosen) == len(ranked):
        chosen.remove(ranked[-1])
    return frozenset(chosen)


def split(
    examples: Sequence[tuple[str, str]], documents: Mapping[str, str], eval_fraction: float, recall_fraction: float
) -> dict[str, str]:
    """Divide examples into training, evaluation and recall sets, the same way every time.

    All examples of a document that is held out are for evaluation, so that it never sees a page that training saw. Of
    the others, a share is kept back by each example's own hash: questions about pages that training saw.

    Args:
        examples: (id, document) of each accepted example.
        documents: name → SHA-256 of the bytes, of every document that has an accepted example.

    Returns:
        id → SPLIT_TRAIN, SPLIT_EVAL or SPLIT_RECALL.
    """
    out = held_out(documents, eval_fraction)
    sides = {id: EVAL if document in out else TRAIN for id, document in examples}
    trained = sorted((id for id, side in sides.items() if side == TRAIN), key=lambda id: _share("example" + id))
    kept_back = [id for id in trained if _share("example" + id) < recall_fraction]
    if not kept_back and recall_fraction > 0 and len(trained) >= ENOUGH_FOR_RECALL:
        kept_back = trained[:1]
    if len(kept_back) == len(trained):
        kept_back = kept_back[:-1]
    sides.update(dict.fromkeys(kept_back, RECALL))
    return sides
