"""Answers against their evidence: planted false ones are found, true ones kept, both at a measured rate."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.dataset.core.checks import check
from services.dataset.core.cues import cue
from services.dataset.core.example import Source, Verdict
from services.dataset.core.focus import passages
from services.dataset.core.gatekeeping import gate, grounded

ROOT = Path(__file__).parents[3] / "samples"
TEXTS = [*sorted((ROOT / "sources").glob("*.md")), *sorted((ROOT / "documents").glob("*.[mt][dx]*"))]
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
ADDED = [
    "and it comes with a lifetime warranty",
    "which was designed by a Norwegian architect",
    "because of strict government regulations",
    "and customers rated it five stars",
]


@dataclass(frozen=True)
class Fact:
    """A sentence of a sample, and what an example about it has."""

    source: Source
    sentence: str
    gap: str
    words: str

    @property
    def question(self) -> str:
        """A question that is about the sentence."""
        rest = " ".join(w for w in self.sentence.rstrip(".").replace(self.gap, "").split() if w)
        return f"{self.words} {rest}?"


def facts() -> list[Fact]:
    """Return the sentences of the samples that a question can be asked about."""
    found = []
    for path in TEXTS:
        for number, block in enumerate(re.split(r"\n(?=#)", path.read_text(encoding="utf-8"))):
            title = block.strip().partition("\n")[0].strip("# ") or path.stem
            source = Source(f"c{number}", path.stem, path.name, block, (path.stem.replace("-", " "), title))
            for passage in passages(block, 20):
                sentence = " ".join(block[passage.start : passage.end].split())
                known = cue(sentence)
                if known:
                    found.append(Fact(source, sentence, known.fact, known.words))
    return found


FACTS = facts()


def true_answers(fact: Fact) -> Iterator[str]:
    """Yield answers that say what the sentence says."""
    yield fact.sentence
    yield fact.gap[0].upper() + fact.gap[1:] + "."
    head, comma, tail = fact.sentence.rstrip(".").partition(", ")
    if comma and re.match(r"(?:If|When|After|Before|In|On|At|From)\b", head):
        yield f"{tail[0].upper()}{tail[1:]} {head[0].lower()}{head[1:]}."
    if re.match(r"The \w+ (?:is|are|has|have) ", fact.sentence):
        yield re.sub(r"^The \w+ ", "It ", fact.sentence)


def false_answers(fact: Fact, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Yield kinds of falsehood, each with an answer that does not follow from the sentence."""
    there = NUMBER.findall(fact.sentence)
    others = sorted(set(NUMBER.findall(fact.source.text)) - set(there))
    if there:
        one = chance.choice(there)
        yield "number", fact.sentence.replace(one, str(int(re.sub(r"\D", "", one) or 1) + 7), 1)
        if others:
            yield "number of another sentence", fact.sentence.replace(one, chance.choice(others), 1)
    called = NAME.findall(fact.sentence)
    strangers = sorted(set(NAME.findall(fact.source.text)) - set(called))
    if called:
        one = chance.choice(called)
        yield "name", fact.sentence.replace(one, "Gudrun Halvorsen", 1)
        if strangers:
            yield "name of another sentence", fact.sentence.replace(one, chance.choice(strangers), 1)
    for verb in (" is ", " are ", " was ", " has ", " may ", " must ", " can "):
        if verb in fact.sentence and " not " not in fact.sentence:
            yield "negation", fact.sentence.replace(verb, f"{verb}not ", 1)
            break
    if " not " in fact.sentence:
        yield "negation taken out", fact.sentence.replace(" not ", " ", 1)
    if len(set(there)) > 1:
        a, b = there[0], next(n for n in there if n != there[0])
        yield "numbers swapped", fact.sentence.replace(a, "\0", 1).replace(b, a, 1).replace("\0", b, 1)
    if len(set(called)) > 1:
        a, b = called[0], next(n for n in called if n != called[0])
        yield "names swapped", fact.sentence.replace(a, "\0", 1).replace(b, a, 1).replace("\0", b, 1)
    yield "addition", f"{fact.sentence.rstrip('.')} {chance.choice(ADDED)}."


def kept(fact: Fact, answer: str) -> bool:
    """Whether the checks and the gate let an answer through, with the sentence as its evidence."""
    found = {"question": fact.question, "answer": answer, "evidence": fact.sentence}
    verdict = check(found, fact.source, True)
    if verdict.drop_reason and verdict.drop_reason != "ANSWER_NOT_GROUNDED":
        # What is said of the question is another matter.
        start = max(0, fact.source.text.find(fact.sentence[:20]))
        place = verdict.evidence_range if verdict.evidence else (start, start + len(fact.sentence))
        return grounded(answer, fact.sentence, place, fact.question, fact.source)[0] >= 0.7
    return (
        verdict.accepted
        and grounded(verdict.response, verdict.evidence, verdict.evidence_range, verdict.prompt, fact.source)[0] >= 0.7
    )


def rates() -> dict[str, tuple[int, int]]:
    """Return for each kind of answer how many are kept, of how many."""
    chance = random.Random(7)
    found: dict[str, list[bool]] = {}
    for fact in FACTS:
        for answer in true_answers(fact):
            found.setdefault("true", []).append(kept(fact, answer))
        for kind, answer in false_answers(fact, chance):
            if answer != fact.sentence:
                found.setdefault(kind, []).append(kept(fact, answer))
    return {kind: (sum(some), len(some)) for kind, some in found.items()}


RATES = rates()
MOST_KEPT = {
    "number": 0.01,
    "number of another sentence": 0.02,
    "numbers swapped": 0.03,
    "name": 0.01,
    "name of another sentence": 0.16,
    "names swapped": 0.02,
    "negation": 0.04,
    "negation taken out": 0.0,
    "addition": 0.05,
}
"""Largest share of each kind of planted falsehood that may pass; some of those are true by chance."""


@pytest.mark.parametrize("kind", MOST_KEPT)
def test_planted_falsehoods_are_found(kind: str) -> None:
    """Of each kind no more pass than what was measured."""
    some, of = RATES[kind]

    assert of >= 3
    assert some <= MOST_KEPT[kind] * of


def test_most_falsehoods_are_found_and_true_answers_kept() -> None:
    """Of all planted ones at least 96 in 100 are found; of true answers at least 99 in 100 are kept."""
    false = [RATES[kind] for kind in MOST_KEPT]
    some, of = RATES["true"]

    assert sum(b for _, b in false) > 1000
    assert sum(a for a, _ in false) <= 0.04 * sum(b for _, b in false)
    assert some >= 0.99 * of


SOURCE = Source(
    "c", "f", "f.md", "The Wren balance weighs 3 kilograms. It costs 103 crowns. Its lid is blue.", ("Wren",)
)


@pytest.mark.parametrize(
    ("answer", "quote", "score"),
    [
        ("The Wren balance weighs 3 kilograms.", "The Wren balance weighs 3 kilograms", 1.0),
        ("It costs 103 crowns.", "It costs 103 crowns", 1.0),
        ("103 crowns.", "It costs 103 crowns", 1.0),
        ("The Wren balance weighs 103 kilograms.", "The Wren balance weighs 3 kilograms", 0.0),
        ("The Wren balance does not weigh 3 kilograms.", "The Wren balance weighs 3 kilograms", 0.0),
        ("The blue balance weighs 3 kilograms.", "The Wren balance weighs 3 kilograms", 0.9286),
    ],
)
def test_the_score_is_what_the_formula_says(answer: str, quote: str, score: float) -> None:
    """Numbers weigh 3, names 2, words 1; a word from elsewhere counts half; a contradiction is 0."""
    start = SOURCE.text.index(quote)

    assert grounded(answer, quote, (start, start + len(quote)), "What of the balance?", SOURCE)[0] == score


def test_the_gate_drops_what_scores_too_little_and_keeps_the_score() -> None:
    """Also a dropped example has its score; a least score of 0 drops nothing."""
    good = Verdict("What does it cost?", "It costs 103 crowns.", "It costs 103 crowns.", (37, 57))
    bad = replace(good, response="It costs 3 crowns.")

    assert gate(good, SOURCE, 0.7) == replace(good, scores={"grounding": 1.0})
    assert gate(bad, SOURCE, 0.7).drop_reason == "ANSWER_NOT_GROUNDED"
    assert gate(bad, SOURCE, 0.7).scores == {"grounding": 0.0}
    assert gate(bad, SOURCE, 0.0).accepted
    assert gate(replace(bad, drop_reason="TOO_SHORT"), SOURCE, 0.7).drop_reason == "TOO_SHORT"
