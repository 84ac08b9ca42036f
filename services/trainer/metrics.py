"""How near answers come to references.

exact_match and token_f1 are those of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250): lower case, no punctuation, no
articles; F1 over the tokens in common. rouge_l is the F1 of the longest common subsequence of words (Lin 2004, "ROUGE:
A Package for Automatic Evaluation of Summaries"). chrf is the F-score of character n-grams (Popović 2015, "chrF"), by
sacrebleu, as a share of 1. Each is a mean over answers, 0 to 1.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import LCSseq
from sacrebleu.metrics.chrf import CHRF

from finetuneflow.training.v1 import evaluation_pb2

CLASSIFICATION, EXTRACTION = "classification", "extraction"
"""Task types that have a measure of their own."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Answer:
    """One answer beside its reference.

    Args:
        task: the example's task type, "" if it has none.
    """

    task: str
    reference: str
    text: str


def score_answers(answers: Sequence[Answer]) -> evaluation_pb2.AnswerScores:
    """Return the means over answers; of the measures for one task, over those of it, absent without one."""
    chrf = CHRF()
    scores = evaluation_pb2.AnswerScores(
        exact_match=_mean(float(_plain(a.text) == _plain(a.reference)) for a in answers),
        token_f1=_mean(token_f1(a.text, a.reference) for a in answers),
        rouge_l=_mean(rouge_l(a.text, a.reference) for a in answers),
        chrf=_mean(chrf.sentence_score(a.text, [a.reference]).score / 100 for a in answers),
    )
    if labels := [a for a in answers if a.task == CLASSIFICATION]:
        scores.accuracy = _mean(float(_plain(a.text) == _plain(a.reference)) for a in labels)
    if extractions := [a for a in answers if a.task == EXTRACTION]:
        scores.field_f1 = _mean(field_f1(a.text, a.reference) for a in extractions)
    return scores


def token_f1(text: str, reference: str) -> float:
    """Return SQuAD's F1 of two texts, 0 to 1; of two empty ones 1."""
    return _f1(_plain(text).split(), _plain(reference).split())


def rouge_l(text: str, reference: str) -> float:
    """Return ROUGE-L's F1 of two texts, 0 to 1; of two empty ones 1."""
    found, wanted = re.findall(r"\w+", text.lower()), re.findall(r"\w+", reference.lower())
    if not found or not wanted:
        return float(found == wanted)
    return 2 * LCSseq.similarity(found, wanted) / (len(found) + len(wanted))


def field_f1(text: str, reference: str) -> float:
    """Return the F1 over the fields and values of two JSON texts, 0 to 1; of a text that is none 0."""
    try:
        found, wanted = json.loads(text), json.loads(reference)
        return _f1(list(_fields(found)), list(_fields(wanted)))
    except (ValueError, RecursionError):
        return 0.0


def _fields(value: Any, path: str = "") -> Iterable[Hashable]:
    """Yield every field of a JSON value with its path: two lists with the same items are alike in whatever order.

    Texts are compared as plain words; numbers, true, false and null as the values that they are.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner, f"{path}[]")
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield path, "number" if number else type(value).__name__, _plain(value) if isinstance(value, str) else value


def _f1(found: Sequence[Hashable], wanted: Sequence[Hashable]) -> float:
    if not found or not wanted:
        return float(not found and not wanted)
    same = (Counter(found) & Counter(wanted)).total()
    return 2 * same / (len(found) + len(wanted))


def _plain(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
