"""Vectors of texts, and which examples they say are the same."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from services.dataset.core.alike import Alike
from services.dataset.core.example import Verdict
from services.dataset.core.vectors import Vectors, embedded, packed, unit, unpacked
from tests.fakes.llm_server import vector as fake_vector

SUBJECTS = [f"{first} {second}" for first in ("Plover", "Wren", "Kestrel", "Finch") for second in ("barometer", "pump")]
FACTS = (
    ("What does the {} weigh when it is empty?", "The {} weighs so many kilograms when it is empty."),
    ("How often is the filter of the {} changed?", "The filter of the {} is changed every other day."),
    ("What does the {} cost without tax?", "The {} costs many crowns without tax."),
    ("Where is the code of the {} printed?", "The code of the {} is printed under its left foot."),
)
PARAPHRASES = (
    ("When it is empty, what is the weight of the {}?", "When it is empty, the {} weighs so many kilograms."),
    ("The filter of the {}: how often is it changed?", "Every other day the filter of the {} is changed."),
    ("Without tax, what is the price of the {}?", "Without tax the {} costs many crowns."),
    ("Under which foot is the code of the {} printed?", "It is printed under the left foot of the {}, the code."),
)


def verdicts(forms: tuple[tuple[str, str], ...]) -> list[Verdict]:
    """An example of each form for each subject."""
    return [Verdict(prompt.format(s), response.format(s)) for prompt, response in forms for s in SUBJECTS]


def judged(alike: Alike, name: str, verdict: Verdict) -> Verdict:
    """What is said of an example by the vector that the fake server gives."""
    text = f"{verdict.prompt}\n{verdict.response}"
    return alike.judge(name, verdict, text, unit(fake_vector(text)))


def test_planted_paraphrases_are_found_and_other_facts_are_not() -> None:
    """With vectors of words and a few synonyms as one: what is measured is the way there, not a model of embeddings."""
    alike, known, planted = Alike(0.92), verdicts(FACTS), verdicts(PARAPHRASES)
    kept = [judged(alike, f"e-{number}", verdict) for number, verdict in enumerate(known)]
    found = [judged(alike, f"p-{number}", verdict) for number, verdict in enumerate(planted)]
    right = [v.detail == f"e-{number}" for number, v in enumerate(found) if not v.accepted]

    assert all(v.accepted for v in kept)
    assert len(right) == len(planted) == 32
    assert all(right)
    assert {v.drop_reason for v in found if not v.accepted} == {"SEMANTIC_DUPLICATE"}
    assert all(v.scores["likeness"] >= 0.92 for v in found if not v.accepted)


@pytest.mark.parametrize(
    "response",
    [
        "The Wren pump weighs 5 kilograms.",
        "The Wren pump does not weigh 4 kilograms.",
        "The Finch pump weighs 4 kilograms.",
    ],
)
def test_what_differs_in_a_fact_is_no_duplicate_however_close_the_vectors_are(response: str) -> None:
    """A number, a "not", a name: embeddings hardly tell these apart."""
    alike, same = Alike(0.5), unit([1, 0])
    alike.judge("e-1", Verdict(), "How much is it?\nThe Wren pump weighs 4 kilograms.", same)

    assert alike.judge("e-2", Verdict(), f"How much is it?\n{response}", same).accepted
    assert alike.judge("e-3", Verdict(), "What is it?\nIt weighs 4 kilograms, the Wren pump.", same).detail == "e-1"


def test_vectors_within_the_memory_are_compared_exactly_and_the_oldest_are_forgotten_beyond_it() -> None:
    """Beside a plain comparison in float64 of the newest ones."""
    random = np.random.default_rng(4)
    rows = [unit(row) for row in random.normal(size=(700, 8))]
    vectors = Vectors(0.8, most_bytes=500 * 8 * 4)
    for number, row in enumerate(rows):
        found = vectors.like(row)
        kept = {
            str(n): float(np.dot(rows[n].astype(float), row.astype(float))) for n in range(max(0, number - 500), number)
        }
        expected = {name for name, cosine in kept.items() if cosine >= 0.8}
        assert set(found) == expected
        assert list(found.values()) == sorted(found.values(), reverse=True)
        vectors.add(str(number), row)


def test_a_vector_of_other_dimensions_is_like_none() -> None:
    """A server whose model was exchanged stops nothing."""
    vectors = Vectors(0.9)
    vectors.add("a", unit([1, 0]))
    vectors.add("b", unit([1, 0, 0]))

    assert vectors.like(unit([1, 0, 0])) == {}
    assert vectors.like(unit([2, 0])) == {"a": 1.0}


def test_a_stored_vector_is_the_same_again() -> None:
    """Little-endian float32, so that a dataset can go on on another machine."""
    vector = unit([3, 4])

    assert packed(vector) == base64.b64encode(np.array([0.6, 0.8], dtype="<f4").tobytes()).decode()
    assert np.array_equal(unpacked(packed(vector)), vector)


def test_an_answer_is_read_in_the_order_of_its_index() -> None:
    """Servers may answer in any order, or without an index."""
    rows = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [5, 0]}]
    found = embedded({"data": rows, "usage": {"prompt_tokens": 7}}, 2, 1)
    plain = embedded({"data": [{"embedding": [5, 0]}, {"embedding": [0, 2]}]}, 2, 0)

    assert [list(v) for v in found.vectors] == [list(v) for v in plain.vectors] == [[1, 0], [0, 1]]
    assert (found.tokens, found.retries, plain.tokens) == (7, 1, 0)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"embedding": [1, 0]}],
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}],
        [{"embedding": [0, 0]}, {"embedding": [1, 0]}],
        [{"embedding": [float("nan")]}, {"embedding": [1]}],
        [{"embedding": "AAAA"}, {"embedding": [1]}],
        [{"embedding": []}, {"embedding": [1]}],
        [{}, {}],
        [3, 4],
    ],
)
def test_an_answer_that_is_no_list_of_vectors_is_refused(rows: list[object]) -> None:
    """It is asked for again, and then the server counts as away."""
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        embedded({"data": rows}, 2, 0)


def test_of_forgotten_examples_nothing_is_kept() -> None:
    """Two fit: the third takes the first's room, with its facts; one of other dimensions has no room at all."""
    alike = Alike(0.9, most_bytes=2 * 3 * 4)
    for name, direction in (("a", [1, 0, 0]), ("b", [0, 1, 0]), ("c", [0, 0, 1]), ("d", [1, 0])):
        assert alike.judge(name, Verdict(), "It weighs 4 kilograms.", unit(direction)).accepted

    assert alike.judge("e", Verdict(), "It weighs 4 kilograms.", unit([0, 1, 0])).detail == "b"
    assert sorted(alike._facts) == ["b", "c"]
