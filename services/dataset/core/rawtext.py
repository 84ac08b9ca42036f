"""Raw text of documents, for continued pretraining: every chunk is a row, and nothing is asked about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from services.dataset.core.compared import Compared
from services.dataset.core.doubles import Doubles
from services.dataset.core.example import Source, Verdict
from services.dataset.core.marks import SUSPECTED_INJECTION
from services.dataset.core.masking import shown
from services.dataset.core.screening import screen

OVERLAP = "OVERLAP"
"""Why a chunk gives no row: chunks before it have all of its text."""


def texts(sources: Iterable[Source], policy: Mapping[str, str]) -> list[Source]:
    """Return chunks as they are to be learnt: each part of a document once, masked or withheld as the policy says.

    CPU work: about 1 ms a chunk where the policy masks or drops. The same chunks come back, in order; one whose text
    others have already has none left.

    Args:
        sources: chunks in the order of their files.
    """
    once: list[Source] = []
    for _, chunks in groupby(sources, key=lambda source: source.file):
        end = 0
        for source in chunks:
            once.append(_from(source, end))
            end = max([end, *(last for _, last in source.spans)])
    # The headings above a chunk stand in the document's text already: here nothing is made of them.
    return shown((replace(source, context=()) for source in once), policy)


def _from(source: Source, end: int) -> Source:
    """Return a chunk without what stands before a place of the document; its spans say where the rest stands."""
    parts: list[str] = []
    spans: list[tuple[int, int]] = []
    offset = 0
    for first, last in source.spans:
        start = max(first, end)
        if start < last:
            parts.append(source.text[offset + start - first : offset + last - first])
            spans.append((start, last))
        offset += last - first
    return replace(source, text="".join(parts), spans=tuple(spans))


class Judging:
    """Says of texts, in order, which are kept.

    Args:
        spec: the dataset's settings.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._policy = spec.get("pii_policy", {})
        self._canaries = spec.get("canaries", [])
        self._doubles = Doubles(spec["near_duplicate"]) if "near_duplicate" in spec else Doubles()

    def judge(self, sources: Sequence[Source]) -> list[Verdict]:
        """Return what is said of the next texts; accepted ones are remembered. CPU work: some ms a text.

        Reasons: CANARY, DUPLICATE, NEAR_DUPLICATE; PERSONAL_DATA of what shows only in the masked text.
        """
        return [self._of(source) for source in sources]

    def _of(self, source: Source) -> Verdict:
        # Orders to an LLM are words like others here, for none is asked: they are told by a flag.
        calm = replace(source, flags=tuple(flag for flag in source.flags if flag != SUSPECTED_INJECTION))
        verdict = screen(Verdict(response=source.text), calm, (), self._policy, self._canaries)
        if calm != source:
            verdict = verdict.flagged(SUSPECTED_INJECTION)
        return self._doubles.judge(verdict, Compared(verdict.response, verdict.response))


def pages(source: Source) -> list[int]:
    """Return the pages that a text stands on, in order; none for formats without pages."""
    if not source.spans:
        return []
    first, last = source.spans[0][0], source.spans[-1][1]
    on = (place for place in source.places if place["span"]["start"] < last and place["span"]["end"] > first)
    return sorted({place["page"] for place in on if place.get("page")})
