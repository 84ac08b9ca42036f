"""Answers against references, and what was forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetuneflow.training.v1 import evaluation_pb2, run_pb2
from finetuneflow_client.cli.view.evaluation import left_out_line
from services.common.chat.rows import Row
from services.trainer.answers import longest_answer, longest_prompt, together
from services.trainer.general import forgetting, general_rows
from services.trainer.metrics import Answer, field_f1, rouge_l, score_answers, token_f1
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, rows, run_here, train_spec, write_dataset


@pytest.mark.parametrize(
    ("text", "reference", "f1", "rouge"),
    [
        ("The capital is Paris.", "the capital is Paris", 1.0, 1.0),
        ("Paris is the capital", "The capital is Paris", 1.0, 0.5),
        ("ten days", "ten working days after receipt", 4 / 7, 4 / 7),
        ("nothing at all", "ten days", 0.0, 0.0),
        ("", "ten days", 0.0, 0.0),
        ("", "", 1.0, 1.0),
    ],
)
def test_texts_are_compared_as_the_papers_say(text: str, reference: str, f1: float, rouge: float) -> None:
    """Words in common in any order; the longest common subsequence in theirs."""
    assert token_f1(text, reference) == pytest.approx(f1)
    assert rouge_l(text, reference) == pytest.approx(rouge)


def test_extractions_are_compared_field_by_field() -> None:
    """Lists in any order; what is no JSON has no field right."""
    wanted = json.dumps({"name": "A. Smith", "days": 10, "tags": ["x", "y"]})

    assert field_f1(json.dumps({"tags": ["y", "x"], "days": 10, "name": "A Smith"}), wanted) == 1.0
    assert field_f1(json.dumps({"name": "B. Smith", "days": 10, "tags": ["x"]}), wanted) == pytest.approx(4 / 7)
    assert field_f1("name: A. Smith", wanted) == 0.0


@pytest.mark.parametrize(
    ("text", "reference", "f1"),
    [
        ("15", "1.5", 0.0),
        ("-3", "3", 0.0),
        ("10.0", "10", 1.0),
        ("true", "1", 0.0),
        ("true", "true", 1.0),
        ("null", '"None"', 0.0),
        ('"10"', "10", 0.0),
        ('"The Smith."', '"smith"', 1.0),
    ],
)
def test_numbers_of_extractions_are_compared_as_values(text: str, reference: str, f1: float) -> None:
    """Only of texts case, punctuation and articles do not count."""
    assert field_f1(f'{{"a": {text}}}', f'{{"a": {reference}}}') == f1


@pytest.mark.parametrize(("longest", "most"), [(0, 48), (32, 48), (100, 116), (239, 255), (1000, 256)])
def test_an_answer_may_be_longer_than_its_reference(longest: int, most: int) -> None:
    """By 16 tokens, between 48 and 256, so that an extraction is not cut to what is no JSON."""

    def words(text: str, add_special_tokens: bool) -> dict[str, list[str]]:
        return {"input_ids": text.split()}

    assert longest_answer(words, ["a", "a " * longest]) == most


def test_measures_of_a_task_are_of_its_answers_alone() -> None:
    """A right label among wrong texts is an accuracy of 1."""
    answers = [Answer("classification", "Yes.", "yes"), Answer("", "It rains.", "It snows."), Answer("", "x", "y")]
    scores = score_answers(answers)

    assert scores.accuracy == 1.0
    assert not scores.HasField("field_f1")
    assert scores.exact_match == pytest.approx(1 / 3)
    assert 0 < scores.chrf < 1


def test_the_verdict_on_forgetting_is_about_the_rise_alone() -> None:
    """A loss that falls passes, one that rises by more than is allowed does not, an empty set says nothing."""
    rises = [
        forgetting(evaluation_pb2.EvalScore(examples=examples, base_loss=2.0, tuned_loss=tuned), 0.5).passed
        for examples, tuned in ((3, 1.0), (3, 2.5), (3, 2.6), (0, 9.0))
    ]

    assert rises == [True, True, False, True]
    assert len({row.prompt[0]["content"] for row in general_rows()}) == 32


def test_a_run_says_what_it_answers_and_what_it_forgot(tmp_path: Path, objects: Path, model: Path) -> None:
    """As many answers as were asked for, from both sets; the general set scored by both models."""
    dataset = write_dataset(tmp_path / "data.jsonl", rows(train=8, held_out=5))
    spec = train_spec(dataset, model, config(num_eval_answers=8, max_forgetting=0.0))
    with WorkerHost(objects, spec) as host:
        code = run_here(host, tmp_path / "work")
    result = run_pb2.RunResult()
    host.finished[-1].result.Unpack(result)
    found = result.evaluation
    report = host.artifact("report.md").read_text()

    assert code == 0
    assert (found.generalise.answers, found.recall.answers) == (4, 4)
    assert found.generalise.tuned_answers.chrf > 0
    assert [s.set for s in found.samples] == ["generalise"] * 3 + ["recall"] * 3
    assert found.forgetting.score.examples == 32
    assert found.forgetting.score.tuned_loss != found.forgetting.score.base_loss
    assert found.forgetting.passed == (found.forgetting.score.tuned_loss <= found.forgetting.score.base_loss)
    assert "On 32 general questions" in report
    assert "| generalise | 4 | chrF |" in report
    assert "| generalise | 4 | exact match | 0.000 |" in report
    assert "field F1" not in report


def test_prompts_that_are_too_long_make_room_for_others(tmp_path: Path, objects: Path, model: Path) -> None:
    """As many answers come as were asked for; how many examples could not be chosen is told, and why."""
    lines = rows(train=8, held_out=5)
    for line in [line for line in lines if line["split"] == "EVAL"][1:4]:
        line["messages"][0]["content"] *= 200
    spec = train_spec(write_dataset(tmp_path / "data.jsonl", lines), model, config(max_steps=1, num_eval_answers=6))
    with WorkerHost(objects, spec) as host:
        code = run_here(host, tmp_path / "work")
    result = run_pb2.RunResult()
    host.finished[-1].result.Unpack(result)
    found = result.evaluation

    assert code == 0
    assert (found.generalise.answers, found.generalise.left_out) == (2, 3)
    assert (found.recall.answers, found.recall.left_out) == (4, 0)
    assert found.longest_prompt == 1024
    report = host.artifact("report.md").read_text()
    assert "Of generalise, 3 could not be chosen: their prompts have more than 1,024 tokens." in report
    assert left_out_line(found) == "3 of generalise: prompts of more than 1,024 tokens"
    assert left_out_line(evaluation_pb2.Evaluation()) == ""


def test_a_gpu_is_asked_what_it_was_trained_on() -> None:
    """A CPU prompts of 1,024 tokens, whatever max_length is."""
    found = [longest_prompt(max_length, gpu) for max_length in (512, 8192) for gpu in (False, True)]

    assert found == [1024, 512, 1024, 8192]


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([10] * 13, [6, 6, 1]), ([1024] * 7, [6, 1]), ([3000, 100, 3000, 100, 10], [2, 2, 1]), ([9000, 9000], [1, 1])],
)
def test_long_prompts_are_asked_in_smaller_groups(lengths: list[int], sizes: list[int]) -> None:
    """At most six, and 6,144 tokens with padding; one that is longer alone. Their order stays."""
    prompts = [("recall", Row(str(n), "RECALL", ()), [0] * length) for n, length in enumerate(lengths)]
    found = list(together(prompts))

    assert [len(batch) for batch in found] == sizes
    assert [prompt for batch in found for prompt in batch] == prompts
