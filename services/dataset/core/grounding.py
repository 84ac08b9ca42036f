"""How well an answer stands on its evidence, by its words: a score from 0 to 1.

    score = Σ weight(w) · support(w) / Σ weight(w)   over the words w of the answer that carry content
    weight:  3 for a number, 2 for a name, 1 for another word
    support: 1 if it stands near the evidence, in the headings or in the question; ELSEWHERE if only elsewhere in the
             chunk; 0 if nowhere

An answer that contradicts its evidence has score 0: a number or a name stands neither near the evidence nor in the
question, a number stands beside other words than there, the same words are in another order, only one of the two says
"not", or two words in a row are strange to the chunk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from rapidfuzz import fuzz

from services.dataset.core.words import capitalised, content, generic, known_numbers, numbers, stem, stems, words

ELSEWHERE = 0.5
LEAST = 0.7
"""Least score of an example, unless its dataset says otherwise."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=[ \t]*(?:[-*+#|>]|\d+[.)] ))")
_NEGATION = re.compile(r"\b(?:not|never|no|nobody|nothing|none|neither|nor|cannot|nowhere|without)\b|n['’]t\b", re.I)
_LEANS = re.compile(r"\s*(?:It|Its|They|Their|Them|This|These|That|Those|He|She|His|Her|Such|Otherwise|Then)\b")
_NO_IN_NAME = re.compile(r"\bno\. ?\d", re.I)
_GERMAN = re.compile(r"\b(?:der|die|das|und|ist|ein|eine|nicht|mit|von|den|dem|sind|wird|auf)\b")
BESIDE = 2
"""Words on either side of a number in the answer, of which one must stand near it in the evidence."""
AROUND = 4
SAME_WORDS = 97.0
"""Similarity of two texts' sorted words (rapidfuzz, 0 to 100) from which they say the same, or the opposite."""
SHUFFLED = 92.0
"""Similarity of the texts as they stand below which their words are in another order."""


def near(place: tuple[int, int], text: str) -> str:
    """Return the sentences that a place is in, with the one before if they lean on it."""
    bounds = [0, *(m.end() for m in _SENTENCE.finditer(text)), len(text)]
    begins = [at for at in bounds if at <= place[0]]
    first = begins[-2:][0] if _LEANS.match(text, begins[-1]) else begins[-1]
    return text[first : next((at for at in bounds if at >= place[1]), len(text))]


def grounding(response: str, evidence: str, around: str, prompt: str, whole: str) -> tuple[float, str]:
    """Return the score of an answer, and what is wrong with it, "" for nothing.

    Args:
        response: the answer.
        evidence: the words quoted.
        around: the evidence's sentences and the one before; see near.
        prompt: the question.
        whole: the chunk, with the headings above it.
    """
    wrong = _contradiction(response, evidence, around, prompt, whole)
    told = content(response)
    if not told:
        return (0.0, wrong) if wrong else (1.0, "")
    close, far = stems(around) | stems(prompt), stems(whole)
    counted, far_counted = known_numbers(around) | known_numbers(prompt), known_numbers(whole)
    called = frozenset[str]() if _german(whole) else capitalised(response)
    total = reached = 0.0
    lacking = []
    for word in told:
        number = bool(numbers(word))
        weight = 3 if number else 2 if word in called else 1
        near_it = numbers(word) <= counted if number else stem(word) in close
        in_it = numbers(word) <= far_counted if number else stem(word) in far
        support = 1.0 if near_it else ELSEWHERE if in_it else 0.0
        total, reached = total + weight, reached + weight * support
        if support < 1:
            lacking.append(word)
    score = 0.0 if wrong else round(reached / total, 4)
    return score, wrong or ("not in the evidence: " + ", ".join(lacking)[:170] if lacking else "")


def _contradiction(response: str, evidence: str, around: str, prompt: str, whole: str) -> str:
    if said := _strange_run(response, stems(whole) | stems(prompt)):
        return "added: " + said
    told, quoted = _flat(response), _sentence_of(response, evidence, around)
    flat = _flat(quoted)
    if _alike(told, quoted) and _negates(response) != _negates(quoted):
        return "says the opposite of: " + quoted[:170]
    if fuzz.token_sort_ratio(told, flat) >= SAME_WORDS and fuzz.ratio(told, flat) < SHUFFLED:
        return "the same words in another order: " + quoted[:160]
    strange = numbers(response) - known_numbers(f"{around} {prompt}")
    if not _german(whole):
        strange |= capitalised(response) - words(f"{around} {prompt}")
    if strange:
        return "not near the evidence: " + ", ".join(sorted(strange))[:160]
    if moved := _misplaced(response, around) or _exchanged(told, flat):
        return f"{moved} stands beside other words in: " + around[:150]
    return ""


@lru_cache(maxsize=64)
def _german(text: str) -> bool:
    """Whether a text seems to be in the one large language that writes its nouns like names."""
    return len(_GERMAN.findall(text)) > 0.04 * len(text.split())


def _flat(text: str) -> str:
    return " ".join(re.findall(r"[\w.,:-]*\w", text.lower()))


def _sentence_of(response: str, evidence: str, around: str) -> str:
    """Return the sentence near the evidence that shares most words with the answer; the evidence itself first."""
    said = stems(response)
    return max([evidence, *_SENTENCE.split(around)], key=lambda one: len(said & stems(one)))


def _alike(response: str, sentence: str) -> bool:
    """Whether most of the shorter text's words are in the other one, so that a "not" must be in both."""
    said, there = stems(response), stems(sentence)
    least = min(len(said), len(there))
    # A few words of a sentence are no sentence: they need no "not".
    return 2 * len(said) >= len(there) > 1 and len(said & there) >= 0.75 * least


def _negates(text: str) -> bool:
    return bool(_NEGATION.search(_NO_IN_NAME.sub(" ", text)))


def _strange_run(response: str, known: frozenset[str]) -> str:
    """Return two content words in a row that the chunk does not know, or ""."""
    run: list[str] = []
    for word in content(response):
        run = [*run, word] if stem(word) not in known and not generic(word) and not numbers(word) else []
        if len(run) == 2:
            return " ".join(run)
    return ""


def _misplaced(response: str, around: str) -> str:
    """Return a number of the answer that stands beside none of the words that it stands near in the evidence, or ""."""
    told = [stem(w) for w in content(response)]
    sentences = [[stem(w) for w in content(one)] for one in _SENTENCE.split(around)]
    known = frozenset().union(*sentences)
    for place, word in enumerate(told):
        if not numbers(word) or word not in known:
            continue
        beside = _beside(told, place, BESIDE) & known
        places = [(there, at) for there in sentences for at, one in enumerate(there) if one == word]
        about = frozenset().union(*(_beside(there, at, AROUND) for there, at in places))
        if beside and not beside & about:
            return word
    return ""


def _exchanged(told: str, quoted: str) -> str:
    """Return a number between other neighbours than in a sentence of the same words, or ""."""
    if fuzz.token_sort_ratio(told, quoted) < SAME_WORDS:
        return ""
    said, there = told.split(), quoted.split()
    for place, word in enumerate(said):
        if numbers(word) and said.count(word) == there.count(word) == 1:
            at = there.index(word)
            if said[place - 1 : place] != there[at - 1 : at] and said[place + 1 : place + 2] != there[at + 1 : at + 2]:
                return word
    return ""


def _beside(words: list[str], place: int, wide: int) -> frozenset[str]:
    found: Iterable[str] = [*words[max(0, place - wide) : place], *words[place + 1 : place + 1 + wide]]
    return frozenset(found)
