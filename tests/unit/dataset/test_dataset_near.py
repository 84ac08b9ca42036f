"""Near duplicates are found exactly, and never stand on different sides."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dataset.core.near import NEAR, Groups, alike, clusters, documents, shingles, sketch
from services.dataset.core.split import split
from services.dataset.core.wordpairs import WordPairs

WORDS = [
    "the",
    "pump",
    "weighs",
    "nine",
    "kilograms",
    "and",
    "costs",
    "forty",
    "crowns",
    "without",
    "tax",
    "in",
    "spring",
]
# Few words, so that many texts are alike.
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)


def similarity(a: frozenset[str], b: frozenset[str]) -> float:
    """Return the Jaccard similarity; 0 for two empty sets."""
    return len(a & b) / len(a | b) if a or b else 0.0


def clustered(found: dict[str, str], threshold: float = NEAR) -> Groups:
    """Return the clusters of texts by name."""
    texts = WordPairs()
    for text in found.values():
        texts.add(text)
    return clusters(texts, list(found), threshold)


def by_comparing_all(found: dict[str, str], threshold: float) -> Groups:
    """Return the clusters in the simplest way there is."""
    sets = {name: shingles(text) for name, text in found.items()}
    groups = Groups()
    for a, b in combinations(sets, 2):
        if similarity(sets[a], sets[b]) >= threshold:
            groups.join(a, b)
    return groups


def slots(count: int, seed: int) -> list[str]:
    """Return texts of one pattern with six words in it, each out of ten: all share pairs, few are near duplicates."""
    chosen = random.Random(seed)
    kinds = ("pump", "hall", "gate", "oil", "tool", "day")
    return [
        "The {} stands in {} near {} and takes {} with {} on {}".format(*(f"{k}{chosen.randrange(10)}" for k in kinds))
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_where_many_texts_share_a_pair_few_comparisons_find_nearly_all_near_ones(seed: int) -> None:
    """What they find belongs together, and 99 of 100 links are found, though each is compared with few."""
    found = slots(3_000, seed)
    exactly = WordPairs()
    loosely = WordPairs()
    for text in found:
        exactly.add(text)
        loosely.add(text)
    names = [f"{place:04}" for place in range(len(found))]
    groups = clusters(exactly, names)
    links = list(loosely.links(NEAR, large=20))
    every = len(found) - len({groups.of(name) for name in names})

    assert every > 100
    assert len(links) >= 0.99 * every
    assert all(groups.of(names[a]) == groups.of(names[b]) for a, b in links)


def test_texts_nearly_the_same_without_number_are_one_group() -> None:
    """A group grows by what joins it; see docs/dataset-formats.md for what a million takes."""
    texts = WordPairs()
    for place in range(30_000):
        texts.add(
            f"How is pump {place} oiled in the workshop of the old mill by the river before the shift begins today?"
        )

    assert sum(1 for _ in texts.links(NEAR)) == 29_999


@given(st.lists(texts, max_size=24), st.sampled_from([0.3, 0.5, NEAR, 0.9, 1.0]))
@settings(max_examples=300, deadline=None)
def test_the_clusters_are_those_of_comparing_all_with_all(found: list[str], threshold: float) -> None:
    """Looking at the rarest word pairs alone misses no near pair and adds none."""
    said = {f"{n:02}": text for n, text in enumerate(found)}
    groups, expected = clustered(said, threshold), by_comparing_all(said, threshold)

    assert {name: groups.of(name) for name in said} == {name: expected.of(name) for name in said}


def test_many_texts_that_say_nearly_the_same_are_compared_with_few() -> None:
    """Ten thousand forms of one sentence are one cluster, and what is not one of them stays out."""
    forms = {f"e{n:05}": f"Is the number {n} even or odd? Say so in one word and nothing else." for n in range(10_000)}
    groups = clustered({**forms, "x": "Is the number seven even?"})

    assert {groups.of(name) for name in forms} == {"e00000"}
    assert groups.of("x") == "x"


@given(
    st.lists(st.tuples(st.integers(0, 7), texts), max_size=20),
    st.sampled_from([0.15, 0.3, 0.6]),
    st.sampled_from([0.0, 0.1, 0.4]),
)
@settings(max_examples=300, deadline=None)
def test_no_near_duplicate_stands_on_another_side(
    rows: list[tuple[int, str]], eval_fraction: float, recall_fraction: float
) -> None:
    """Training sees nothing that evaluation or the recall check asks, nearly word for word; and no page of theirs."""
    examples = [(f"e{n}", f"f{file}") for n, (file, _) in enumerate(rows)]
    said = {f"e{n}": text for n, (_, text) in enumerate(rows)}
    hashes = {f"f{file}": f"{file * 7919:064x}" for file, _ in rows}

    sides = split(examples, hashes, eval_fraction, recall_fraction, near=clustered(said))

    sets = {id: shingles(text) for id, text in said.items()}
    apart = [(a, b) for a, b in combinations(sets, 2) if sides[a] != sides[b]]
    assert not [pair for pair in apart if similarity(sets[pair[0]], sets[pair[1]]) >= NEAR]
    held = {file for id, file in examples if sides[id] == "SPLIT_EVAL"}
    assert not held & {file for id, file in examples if sides[id] != "SPLIT_EVAL"}
    assert sides == split(examples[::-1], hashes, eval_fraction, recall_fraction, near=clustered(said))


def test_without_near_duplicates_a_split_is_as_if_nothing_were_grouped() -> None:
    """What was split before is split alike."""
    said = {f"e{n}": f"word{n} is word{n + 1} of word{n + 2}" for n in range(60)}
    examples = [(id, f"f{n % 12}") for n, id in enumerate(said)]
    hashes = {f"f{n}": f"{n * 7919:064x}" for n in range(12)}

    assert split(examples, hashes, 0.3, 0.2, near=clustered(said)) == split(examples, hashes, 0.3, 0.2)


def test_nearly_identical_documents_go_together() -> None:
    """A second edition with a page changed is told from another document; on one side with the first."""
    words = [f"word{n * n % 997}" for n in range(3000)]
    first, second = " ".join(words), " ".join([*words[:2800], *(f"new{n}" for n in range(200))])
    other = " ".join(f"thing{n * n % 991}" for n in range(3000))
    sketches = {"a": sketch([first]), "b": sketch([second]), "c": sketch([other])}
    groups = documents(sketches)
    hashes = {"a": "0" * 64, "b": "1" * 64, "c": "2" * 64}

    assert abs(alike(sketches["a"], sketches["b"]) - similarity(shingles(first), shingles(second))) < 0.1
    assert groups.of("a") == groups.of("b") != groups.of("c")
    for fraction in (0.1, 0.4, 0.7):
        sides = split([("x", "a"), ("y", "b"), ("z", "c")], hashes, fraction, 0, same=groups)
        assert sides["x"] == sides["y"] != sides["z"]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_the_groups_of_documents_are_those_of_comparing_each_with_each(threshold: float) -> None:
    """Short ones, long ones, parts of others, empty ones, and what all have in common."""
    chance = random.Random(5)
    common = [f"all{n}" for n in range(40)]
    bases = [[f"w{chance.randrange(900)}" for _ in range(size)] for size in (5, 60, 300, 900)]
    sketches = {}
    for number in range(60):
        words = [*common, *chance.choice(bases)]
        for _ in range(int(len(words) * chance.choice((0, 0.02, 0.06, 0.1, 0.2)))):
            words[chance.randrange(len(words))] = f"w{chance.randrange(900)}"
        size = chance.choice((len(words), len(words), len(words) * 3 // 4, 1, 0))
        sketches[f"d{number:02}"] = sketch([" ".join(words[:size])])
    plain = Groups()
    for a, b in combinations(sketches, 2):
        if alike(sketches[a], sketches[b]) >= threshold:
            plain.join(a, b)
    found = documents(sketches, threshold)

    assert [found.of(name) for name in sketches] == [plain.of(name) for name in sketches]
    assert 2 < len({plain.of(name) for name in sketches}) < 50
