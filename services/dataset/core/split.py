"""Which side of the dataset an example is on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from services.dataset.core.near import Groups

TRAIN, EVAL, RECALL = "SPLIT_TRAIN", "SPLIT_EVAL", "SPLIT_RECALL"
ENOUGH_FOR_RECALL = 10
"""Training examples from which at least one is kept back."""


def _share(text: str) -> float:
    """Return a number in [0, 1) that the text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def document(example: Mapping[str, Any]) -> str:
    """Return what an example may not be parted from: its file, or for an imported one all with the same prompt.

    Raw text has no prompt: each is a document of its own.
    """
    return (
        example["file"] or "prompt " + hashlib.sha256((example["prompt"] or example["response"]).encode()).hexdigest()
    )


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
    if eval_fraction <= 0:
        return frozenset()
    groups = groups or Groups()
    units = {name: hash for name, hash in documents.items() if name not in groups}
    for name in documents.keys() - units.keys():
        unit = groups.of(name)
        units[unit] = min(units.get(unit, documents[name]), documents[name])
    out = _chosen(units, lambda unit: _share("document" + units[unit]), eval_fraction)
    return frozenset(name for name in documents if groups.of(name) in out)


def _chosen(
    units: Collection[str], share: Callable[[str], float], fraction: float, at_least_one: bool = True
) -> set[str]:
    """Return the units whose share is below a fraction; of two or more never all, and none only if that may be."""
    if len(units) < 2:
        return set()
    chosen = {unit for unit in units if share(unit) < fraction}
    if not chosen and at_least_one:
        return {min(units, key=lambda unit: (share(unit), unit))}
    if len(chosen) == len(units):
        chosen.remove(max(units, key=lambda unit: (share(unit), unit)))
    return chosen


def split(
    examples: Collection[tuple[str, str]],
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
    trained = [id for id, side in sides.items() if side == TRAIN]
    units = {near.of(id) for id in trained}
    enough = recall_fraction > 0 and len(trained) >= ENOUGH_FOR_RECALL
    kept_back = _chosen(units, lambda unit: _share("example" + unit), recall_fraction, at_least_one=enough)
    sides.update((id, RECALL) for id in trained if near.of(id) in kept_back)
    return sides


def _bound(examples: Iterable[tuple[str, str]], documents: Iterable[str], near: Groups, same: Groups) -> Groups:
    """Return the documents that may not be apart: nearly identical ones, and those that share near duplicates."""
    bound = Groups()
    for name in documents:
        if name in same:
            bound.join(same.of(name), name)
    first: dict[str, str] = {}
    for id, document in examples:
        if id in near:
            bound.join(first.setdefault(near.of(id), document), document)
    return bound
