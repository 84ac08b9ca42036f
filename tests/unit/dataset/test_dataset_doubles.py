"""Near duplicates: as many are found as an exact comparison finds, and none that differ in a fact."""

from __future__ import annotations

import random

import pytest

from services.dataset.core.doubles import Doubles
from services.dataset.core.example import Verdict
from services.dataset.core.nearness import Nearness, jaccard, rows, shingles

WORDS = [
    "pump",
    "valve",
    "lamp",
    "key",
    "lid",
    "screw",
    "filter",
    "manual",
    "operator",
    "office",
    "balance",
    "probe",
    "press",
    "table",
    "door",
    "crane",
    "water",
    "oil",
    "tank",
    "green",
    "brass",
    "heavy",
    "small",
    "open",
    "closed",
    "daily",
    "weekly",
    "before",
    "after",
    "under",
    "over",
    "keeps",
    "changes",
    "holds",
    "cleans",
    "fills",
    "opens",
]


def texts(count: int, seed: int = 3) -> list[str]:
    """Return sentences, and nearly as many that are changed a little or a lot."""
    chance = random.Random(seed)
    found: list[str] = []
    while len(found) < count:
        words = chance.choices(WORDS, k=chance.randint(12, 40))
        found.append(" ".join(words))
        for _ in range(chance.randint(0, 2)):
            changed = list(words)
            for _ in range(chance.randint(1, 4)):
                changed[chance.randrange(len(changed))] = chance.choice(WORDS)
            found.append(" ".join(changed))
    return found[:count]


@pytest.mark.parametrize("threshold", [0.6, 0.75, 0.9])
def test_as_many_are_found_as_an_exact_comparison_finds(threshold: float) -> None:
    """At least 98 in 100 pairs at or over the threshold are found, and no pair below it."""
    some = texts(400)
    sets = [shingles(text) for text in some]
    exact = {(a, b) for b in range(len(some)) for a in range(b) if jaccard(sets[a], sets[b]) >= threshold}
    known = Nearness(threshold)
    found: set[tuple[int, int]] = set()
    for text in some:
        near = known.near(text)
        number = known.add(text)
        found.update((other, number) for other in near)

    assert len(exact) > 20
    assert found <= exact
    assert len(found) >= 0.98 * len(exact)


def test_the_bands_are_as_narrow_as_the_threshold_allows() -> None:
    """A pair at the threshold shares a band in 99 of 100 cases."""
    for threshold in (0.5, 0.7, 0.8, 0.9, 0.99):
        wide = rows(threshold)

        assert 1 - (1 - threshold**wide) ** (128 // wide) >= 0.99
        assert wide == 1 or rows(threshold - 0.1) <= wide


@pytest.mark.parametrize("text", ["", "a", "abcd", "abcde", "水泵重三公斤", "😀" * 9, "\ud83d alone"])
def test_any_text_has_shingles_and_is_near_to_itself(text: str) -> None:
    """Also one shorter than a shingle, and one of any script."""
    known = Nearness(0.9)
    known.add(text)

    assert known.near(text) == [0]
    assert jaccard(shingles(text), shingles(text)) == 1


LONG = (
    "The relief valve of the Kestrel pump opens at a pressure of five bar, lets the coolant flow back into the tank "
    "behind the wall, and closes again when the pressure has fallen; the green lamp on the left shows that it is open."
)
FIRST = Verdict("What does the relief valve of the Kestrel pump do under pressure?", LONG)


@pytest.mark.parametrize(
    ("old", "new", "dropped"),
    [
        ("flow back", "run back", True),
        ("; the green", ", and the green", True),
        ("five bar", "six bar", False),
        ("Kestrel", "Wren", False),
        ("it is open", "it is not open", False),
    ],
)
def test_near_ones_are_dropped_unless_a_fact_differs(old: str, new: str, dropped: bool) -> None:
    """A number, a name or a "not" makes another example of nearly the same letters."""
    doubles = Doubles(0.8)
    doubles.judge(FIRST)
    question = "Under pressure, what does the relief valve of the Kestrel pump do?"
    second = doubles.judge(Verdict(question.replace(old, new), LONG.replace(old, new)))

    assert second.drop_reason == ("NEAR_DUPLICATE" if dropped else "")
    assert not dropped or second.detail == FIRST.prompt


def test_what_was_dropped_is_not_remembered() -> None:
    """So that the same is decided after a restart, when only accepted examples are recalled."""
    examples = [
        Verdict(f"What is said here, in case {n}?".replace(str(n), "abcdefgh"[n]), LONG + " x" * n) for n in range(8)
    ]
    doubles, again = Doubles(0.9), Doubles(0.9)
    once = [doubles.judge(e) for e in examples]
    for verdict in once[:5]:
        again.judge(verdict)

    assert {v.drop_reason for v in once} == {"", "NEAR_DUPLICATE"}
    assert [again.judge(e) for e in examples[5:]] == once[5:]


def test_a_threshold_of_one_looks_for_none_but_the_same() -> None:
    """Then only the prompts are compared, as ever."""
    doubles = Doubles(1)
    doubles.judge(FIRST)

    assert doubles.judge(Verdict("Under pressure, what does it do?", LONG + " So it is.")).accepted
    assert doubles.judge(Verdict(FIRST.prompt.upper(), "It opens.")).drop_reason == "DUPLICATE"
