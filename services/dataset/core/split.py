"""Which side of the dataset an example is on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from services.dataset.core.near import Groups

TRAIN, EVAL, RECALL = "SPLIT_TRAIN", "SPLIT_EVAL", "SPLIT_RECALL"
ENOUGH_FOR_RECALL = 10
"""Training examples from which at least one is kept back."""


def _share(text: str) -> float:
    """Return a number in [0, 1) that the text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def document(example: Mapping[str, Any]) -> str:
    """Return what an example may not be parted from: its file, or for an imported one all with the same prompt."""
    return example["file"] or "prompt " + hashlib.sha256(example["prompt"].encode()).hexdigest()


def held_out(documents: Mapping[str, str], eval_fraction: float, groups: Groups | None = None) -> frozenset[str]:
    """Return the documents held out for evaluation, the same ones every time.

    A document's own hash decides, so that adding documents moves no old one. Documents of one group go together: the
    least hash of the group decides, so that a new document moves old ones only if it joins their group and has the
    least hash in it, or joins groups that were on different sides. If the hashes hold out none of two or more groups,
    the lowest is held out; if they hold out all, the highest is trained on.

    Args:
        documents: name → SHA-256 of the bytes.
        eval_fraction: wanted share, 0 <= f < 1; 0 holds out none.
        groups: documents that may not be apart; None: each stands alone.
    """
    together: dict[str, list[str]] = {}
    for name in documents:
        together.setdefault(groups.of(name) if groups else name, []).append(name)
    if eval_fraction <= 0 or len(together) < 2:
        return frozenset()
    units = {unit: min(documents[name] for name in names) for unit, names in together.items()}
    ranked = sorted(units, key=lambda unit: (_share("document" + units[unit]), unit))
    chosen = {unit for unit in ranked if _share("document" + units[unit]) < eval_fraction}
    if not chosen:
        chosen = {ranked[0]}
    if len(chosen) == len(ranked):
        chosen.remove(ranked[-1])
    return frozenset(name for unit in chosen for name in together[unit])


def split(
    examples: Sequence[tuple[str, str]],
    documents: Mapping[str, str],
    eval_fraction: float,
    recall_fraction: float,
    *,
    near: Groups | None = None,
    same: Groups | None = None,
) -> dict[str, str]:
    """Divide examples into training, evaluation and recall sets, the same way every time.

    All examples of a document that is held out are for evaluation, so that it never sees a page that training saw. Of
    the others, a share is kept back by each example's own hash: questions about pages that training saw. Near
    duplicates are never apart: documents that share some, or are nearly identical, are on the same side, and of a
    trained document the whole cluster is trained on or kept back.

    Args:
        examples: (id, document) of each accepted example.
        documents: name → SHA-256 of the bytes, of every document that has an accepted example.
        near: clusters of examples that are near duplicates, by id.
        same: groups of documents that are nearly identical, by name.

    Returns:
        id → SPLIT_TRAIN, SPLIT_EVAL or SPLIT_RECALL.
    """
    near = near or Groups()
    out = held_out(documents, eval_fraction, _bound(examples, documents, near, same or Groups()))
    sides = {id: EVAL if document in out else TRAIN for id, document in examples}
    clusters: dict[str, list[str]] = {}
    for id, side in sides.items():
        if side == TRAIN:
            clusters.setdefault(near.of(id), []).append(id)
    trained = sorted(clusters, key=lambda id: _share("example" + id))
    kept_back = [id for id in trained if _share("example" + id) < recall_fraction]
    if not kept_back and recall_fraction > 0 and sum(map(len, clusters.values())) >= ENOUGH_FOR_RECALL:
        kept_back = trained[:1]
    if len(kept_back) == len(trained):
        kept_back = kept_back[:-1]
    sides.update((id, RECALL) for cluster in kept_back for id in clusters[cluster])
    return sides


def _bound(examples: Sequence[tuple[str, str]], documents: Mapping[str, str], near: Groups, same: Groups) -> Groups:
    """Return the documents that may not be apart: nearly identical ones, and those that share near duplicates."""
    bound = Groups()
    for name in documents:
        bound.join(same.of(name), name)
    first: dict[str, str] = {}
    for id, document in examples:
        bound.join(first.setdefault(near.of(id), document), document)
    return bound
