"""Sides, files, filters and figures of a dataset."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import InvalidArgument
from services.dataset.core import filters, frozen
from services.dataset.core.split import EVAL, RECALL, TRAIN, held_out, split
from services.dataset.core.statistics import Figures, distribution
from services.dataset.lines import Lines

DOCUMENTS = {f"projects/p/files/f{n}": f"{n:064x}" for n in range(40)}


def examples(documents: dict[str, str], each: int = 5) -> list[tuple[str, str]]:
    """(id, document) of some examples of each document."""
    return [(f"{document}-{n}", document) for document in documents for n in range(each)]


@given(st.sets(st.sampled_from(sorted(DOCUMENTS))), st.floats(0, 0.9))
def test_a_document_is_on_one_side_and_at_least_one_is_on_each(names: set[str], fraction: float) -> None:
    """Of two or more documents one is held out and one trained on, however few they are, unless the fraction is 0."""
    documents = {name: DOCUMENTS[name] for name in names}
    out = held_out(documents, fraction)
    sides = split(examples(documents), documents, fraction, 0.1)

    assert all((sides[id] == EVAL) == (document in out) for id, document in examples(documents))
    if len(documents) >= 2 and fraction > 0:
        assert 0 < len(out) < len(documents)
    else:
        assert not out


@given(st.sets(st.sampled_from(sorted(DOCUMENTS)), min_size=12), st.sampled_from(sorted(DOCUMENTS)))
def test_a_document_more_moves_no_other(names: set[str], more: str) -> None:
    """The side is in the document's hash, not in its company."""
    few = {name: DOCUMENTS[name] for name in names}
    many = {**few, more: DOCUMENTS[more]}
    # Where the hash alone holds some out, which is so but for the smallest sets.
    before, after = held_out(few, 0.5), held_out(many, 0.5)

    assert before == after & few.keys()


def test_the_share_held_out_is_about_what_was_asked_for() -> None:
    """Over many documents, hashes spread evenly."""
    documents = {str(n): f"{n:064x}" for n in range(2000)}

    assert 250 < len(held_out(documents, 0.15)) < 350


def test_recall_examples_are_of_documents_that_are_trained_on() -> None:
    """They ask whether the model recalls what it saw; held-out documents ask whether it generalises."""
    sides = split(examples(DOCUMENTS), DOCUMENTS, 0.2, 0.2)
    out = held_out(DOCUMENTS, 0.2)
    recall = [id for id, side in sides.items() if side == RECALL]

    assert recall
    assert not [id for id in recall if id.rpartition("-")[0] in out]


@pytest.mark.parametrize(("count", "fraction", "least"), [(10, 0.01, 1), (9, 0.01, 0), (50, 0, 0), (12, 0.5, 1)])
def test_enough_examples_give_at_least_one_for_recall(count: int, fraction: float, least: int) -> None:
    """From ten on one is kept back, unless none is wanted; never all."""
    one = {"d": "0" * 64}
    sides = list(split([(str(n), "d") for n in range(count)], one, 0, fraction).values())

    assert sides.count(RECALL) >= least
    assert sides.count(RECALL) == 0 or fraction > 0
    assert TRAIN in sides


def test_a_split_is_the_same_every_time_and_in_any_order() -> None:
    """Nothing but the names and hashes decides."""
    forth = split(examples(DOCUMENTS), DOCUMENTS, 0.15, 0.1)
    back = split(examples(DOCUMENTS)[::-1], dict(reversed(DOCUMENTS.items())), 0.15, 0.1)

    assert forth == back


def row(id: str, **fields: Any) -> dict[str, Any]:
    """An example's document."""
    return {
        "_id": f"projects/p/datasets/d/examples/{id}",
        "prompt": "Which é?",
        "response": "This\none.",
        "split": TRAIN,
        "file": "projects/p/files/f",
        "file_name": "f.md",
        "chunk": "projects/p/files/f/chunks/c",
        "evidence": "one",
        "evidence_span": {"start": 1, "end": 4},
        "place": None,
        "prompt_version": "question-answer/1",
        "llm": "llmEndpoints/l m",
        "accepted": True,
        "drop_reason": "",
        **fields,
    }


def test_a_frozen_line_has_messages_and_where_they_come_from() -> None:
    """One JSON object a line."""
    line = json.loads(frozen.line(row("a", split=RECALL), "Be brief."))

    assert line["id"].endswith("/a")
    assert line["split"] == "RECALL"
    assert [m["role"] for m in line["messages"]] == ["system", "user", "assistant"]
    assert line["messages"][1]["content"] == "Which é?"
    assert line["source"]["evidence_span"] == {"start": 1, "end": 4}


def test_a_frozen_line_without_a_system_prompt_has_two_messages() -> None:
    """An empty system prompt is none."""
    assert len(json.loads(frozen.line(row("a"), ""))["messages"]) == 2


@pytest.mark.parametrize("held", [1, 200, 1 << 20])
def test_the_same_examples_freeze_to_the_same_bytes(tmp_path: Path, held: int) -> None:
    """Whatever their order and however much is held in memory, so that the hash names the content."""
    texts = [frozen.line(row(f"é{n}"), "").encode() + b"\n" for n in range(50)]
    files = []
    for name, some in (("a", texts), ("b", texts[::-1])):
        (tmp_path / name).mkdir()
        lines = Lines(tmp_path / name, held)
        for start in range(0, len(some), 7):
            lines.add(some[start : start + 7])
        files.append(lines.written())

    assert files[0][0].read_bytes() == files[1][0].read_bytes() == b"".join(sorted(texts))
    assert files[0][1:] == files[1][1:]
    assert files[0][2] == hashlib.sha256(b"".join(sorted(texts))).hexdigest()


FILTERS = {
    "": {"accepted": True},
    "*": {},
    "accepted = false": {"accepted": False},
    'split = "TRAIN"': {"split": "SPLIT_TRAIN"},
    "split=recall AND edited=true": {"split": "SPLIT_RECALL", "edited": True},
    'drop_reason = "DUPLICATE"': {"drop_reason": "DUPLICATE"},
    ' file = "projects/p/files/f"  AND accepted = true ': {"file": "projects/p/files/f", "accepted": True},
}


@pytest.mark.parametrize(("text", "where"), FILTERS.items())
def test_a_filter_is_conditions_joined_by_and(text: str, where: dict[str, Any]) -> None:
    """Empty means accepted ones, "*" means all."""
    assert filters.read(text) == filters.Filter(where)


@pytest.mark.parametrize(
    "text",
    ["accepted", "accepted = maybe", "colour = red", "split = MIDDLE", "accepted = true OR edited = true", "= 1"],
)
def test_a_bad_filter_is_refused_with_what_is_known(text: str) -> None:
    """The message teaches the form."""
    with pytest.raises(InvalidArgument) as caught:
        filters.read(text)

    assert caught.value.field == "filter"


def test_statistics_count_what_is_accepted_and_name_what_is_not() -> None:
    """Drops by reason, files with their side, and lengths of accepted examples alone."""
    rows = [
        row("a"),
        row("b", split=EVAL, file="projects/p/files/g", file_name="g.md", prompt="x" * 100),
        row("c", accepted=False, drop_reason="DUPLICATE", split="SPLIT_UNSPECIFIED", prompt="x" * 999),
        row("d", accepted=False, drop_reason="DUPLICATE"),
    ]
    figures = Figures()
    figures.add(rows)
    found = figures.found()

    assert (found["accepted"], found["train_examples"], found["eval_examples"]) == (2, 1, 1)
    assert found["dropped"] == [{"reason": "DUPLICATE", "count": 2}]
    assert [(f["display_name"], f["split"]) for f in found["files"]] == [("f.md", TRAIN), ("g.md", EVAL)]
    assert found["prompt_characters"]["max"] == 100


def test_a_distribution_of_nothing_is_zero() -> None:
    """An empty dataset has statistics too."""
    assert set(distribution([]).values()) == {0.0}
    assert distribution([1, 2, 3, 4])["p50"] == 3
    assert distribution(list(range(100)))["p95"] == 95
