"""What a JSON schema of a user's may not have, and what is never fetched."""

from __future__ import annotations

import json

import pytest

from services.dataset.completions import read
from services.dataset.core import replies
from services.dataset.core.aim import aims
from services.dataset.core.budget import MOST_TOKENS
from services.dataset.core.formats.decoding import json_list
from services.dataset.core.schemas import refused
from services.dataset.core.statistics import Figures
from services.dataset.core.vectors import embedded


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ('{"properties": {"a": {"\\u0024ref": "http://127.0.0.1:9/x"}}}', "$ref"),
        ('{"properties": {"a": {"allOf": [{"$dynamicRef": "#x"}]}}}', "$dynamicRef"),
        ('{"properties": {"a": {"items": {"pattern": "^(a+)+$"}}}}', "pattern"),
        ('{"patternProperties": {"a": {}}}', "patternProperties"),
        ('{"properties": {"pattern": {"type": "string", "enum": ["$ref"]}}}', ""),
        ('{"properties": {"a": {"const": {"$ref": "x"}}}, "$defs": {"pattern": {}}}', ""),
    ],
)
def test_references_and_patterns_are_found_however_they_are_written(text: str, keyword: str) -> None:
    """Names of properties and values are none."""
    assert refused(json.loads(text)) == keyword


def test_a_reference_is_not_fetched() -> None:
    """Not even that of a schema from before it was refused."""
    schema = {"type": "object", "properties": {"a": {"$ref": "file:///etc/hostname"}}, "required": ["a"]}
    with pytest.raises(Exception, match="etc/hostname"):
        replies.parse('{"a": 1}', schema)


def test_a_place_that_comes_more_often_than_there_are_kinds_has_aims_all_the_same() -> None:
    """They then come again."""
    spec = {"question_types": ["QUESTION_TYPE_WHY", "QUESTION_TYPE_HOW"]}

    assert [a.question_type for a in aims(spec, ["x"] * 4)][:2] == ["WHY", "HOW"]
    assert len(aims(spec, ["x"] * 4)) == 4


def test_a_list_whose_blocks_end_between_elements_is_read(tmp_path) -> None:  # type: ignore[no-untyped-def]  # pytest's
    """Wherever a block ends."""
    for size in range(1, 9):
        row = json.dumps({"a": "x" * size})
        path = tmp_path / f"{size}.json"
        path.write_text("[" + ",".join([row] * (140_000 // len(row))) + "]")
        with path.open("rb") as file:
            rows = list(json_list(file))

        assert len(rows) == 140_000 // len(row)


@pytest.mark.parametrize(("told", "kept"), [(-5, 0), (10**30, MOST_TOKENS), (None, 0), (7, 7)])
def test_counts_of_tokens_can_be_added_up_and_stored(told: int | None, kept: int) -> None:
    """Whatever a server says."""
    answer = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": told}}

    vectors = {"data": [{"embedding": [1, 0]}], "usage": answer["usage"]}

    assert read(answer, 0).prompt_tokens == embedded(vectors, 1, 0).tokens == kept


def test_a_document_with_examples_on_both_sides_has_no_side() -> None:
    """As where rows that were imported say their side."""
    base = {"accepted": True, "file": "f", "file_name": "f", "prompt": "p", "response": "r", "drop_reason": ""}
    both = [{**base, "split": "SPLIT_TRAIN"}, {**base, "split": "SPLIT_EVAL"}]
    some = [{**base, "split": "SPLIT_RECALL"}, {**base, "split": "SPLIT_UNSPECIFIED"}]

    sides = []
    for rows in (both, some):
        figures = Figures()
        figures.add(rows)
        sides.append(figures.found()["files"][0]["split"])

    assert sides == ["SPLIT_UNSPECIFIED", "SPLIT_TRAIN"]
