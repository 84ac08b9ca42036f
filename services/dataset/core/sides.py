"""Examples by the thousand, divided: what of each is needed for that, packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.dataset.core import near
from services.dataset.core.compared import framed
from services.dataset.core.prompts import Template
from services.dataset.core.split import document, split
from services.dataset.core.wordpairs import WordPairs


class Sides:
    """Takes in examples and says on which side each is. Some 1 KB an example.

    Args:
        template: what they were made from; None for imported ones.
    """

    def __init__(self, template: Template | None = None) -> None:
        self._template = template
        self._texts = WordPairs()
        self._ids: list[str] = []
        self._documents: dict[str, str] = {}
        self._of: list[str] = []
        self._given: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: str, example: Mapping[str, Any]) -> None:
        """Take in an example.

        Args:
            id: without the dataset's name: the same examples are split alike in every dataset.
            example: its document, or of an imported one the fields that its row gives.
        """
        name = document(example)
        self._ids.append(id)
        self._of.append(self._documents.setdefault(name, name))
        evidence = "" if example.get("edited") else example.get("evidence", "")
        text = framed(self._template, example["response"], evidence)
        self._texts.add(text or " ".join((example["prompt"], example["response"], *_said(example))))
        if example.get("given_split"):
            self._given[id] = example["given_split"]

    def divide(
        self,
        eval_fraction: float,
        recall_fraction: float,
        hashes: Mapping[str, str] | None = None,
        sketches: Mapping[str, Sequence[int]] | None = None,
    ) -> dict[str, str]:
        """Return id → side; the same examples get the same sides every time. CPU work: about 0.05 ms an example.

        Args:
            hashes: SHA-256 of documents by name, where they are known.
            sketches: sketches of documents by name, where they are known: what is nearly identical goes together.
        """
        known, sketched = hashes or {}, sketches or {}
        documents = {name: known.get(name) or name for name in self._documents} if known else self._documents
        same = near.documents({name: sketched[name] for name in documents if name in sketched})
        clusters = near.clusters(self._texts, self._ids)
        examples = list(zip(self._ids, self._of, strict=True))
        return split(examples, documents, eval_fraction, recall_fraction, near=clusters, same=same) | self._given


def _said(example: Mapping[str, Any]) -> list[str]:
    """Return what is said in a conversation; a system prompt that many share makes them no duplicates."""
    return [str(m.get("content", "")) for m in example.get("messages", ()) if m.get("role") != "system"]
