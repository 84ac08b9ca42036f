"""What is measured of an example whose texts a person changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import dataset_pb2, example_pb2
from tests.fakes.commands import Client
from tests.fakes.datasets import dataset_service, examples, generated
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm
from tests.service.test_dataset import update

GOOD = "accepted = true AND scores.grounding >= 0.9"


async def with_number(stub: Any) -> example_pb2.Example:
    """An example whose answer has a number."""
    return next(example for example in await examples(stub) if re.search(r"\d", example.response))


async def test_an_edit_that_contradicts_the_evidence_is_scored_for_what_it_says(tmp_path: Path) -> None:
    """A filter by score no longer chooses it; the old words back, and it does. What a judge said of them is gone."""
    async with llm() as server, dataset_service(tmp_path, server, library(2)) as (stub, _):
        await generated(stub, judge=dataset_pb2.Judge())
        before = await with_number(stub)
        chosen = [e.name for e in await examples(stub, GOOD)]
        false = await stub.UpdateExample(update(before.name, response=re.sub(r"\d+", "98765", before.response)))
        left = [e.name for e in await examples(stub, GOOD)]
        touched = await stub.UpdateExample(update(before.name, "accepted", accepted=True))
        true = await stub.UpdateExample(update(before.name, response=before.response))

    assert (before.scores["grounding"], set(before.scores)) == (1, {"grounding", "judge"})
    assert before.judge_reason != ""
    assert (dict(false.scores), false.judge_reason, false.accepted) == ({"grounding": 0}, "", True)
    assert set(chosen) - set(left) == {before.name}
    assert touched.scores == false.scores
    assert dict(true.scores) == {"grounding": 1}


@pytest.mark.parametrize("how", ["deleted", "cut anew"])
async def test_a_score_goes_where_its_chunk_is_gone(tmp_path: Path, how: str) -> None:
    """The edit is kept all the same."""
    documents = library(1)
    async with llm() as server, dataset_service(tmp_path, server, documents) as (stub, _):
        await generated(stub)
        before = await with_number(stub)
        if how == "deleted":
            documents.files.clear()
        else:
            documents.files.update({key: ["Something else stands here now.", "Here too."] for key in documents.files})
        after = await stub.UpdateExample(update(before.name, response="It is another one."))

    assert (after.response, dict(after.scores)) == ("It is another one.", {})


async def test_a_lapsed_decision_is_told_as_one_about_the_text_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads it knows that the text that stands there was approved by nobody."""
    async with llm() as server, dataset_service(tmp_path, server, library(1)) as (stub, served):
        await generated(stub)
        id = (await with_number(stub)).name.rpartition("/")[2]
        ftf = Client(tmp_path, served.address, capsys, "--project", "p")
        await ftf.plain("dataset", "review", id, "--approve")
        shown = await ftf.plain("dataset", "edit", id, "--response", "Up to 98765 books.")

    words = " ".join(shown.replace("│", " ").split())
    assert "about the text before it was edited: that no longer counts" in words
    assert "grounding 0" in words
