"""What `ftf` shows: curves, series over attempts, plain lines where there is no terminal, tables that line up."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from finetuneflow.common.v1 import work_pb2, worker_service_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.hardware.v1 import device_pb2, plan_pb2
from finetuneflow.ingest.v1 import chunk_pb2
from finetuneflow.training.v1 import estimate_pb2, evaluation_pb2, run_pb2, training_service_pb2
from finetuneflow_client.cli.output import Output
from finetuneflow_client.cli.screen import Screen
from finetuneflow_client.cli.view import curve
from finetuneflow_client.cli.view.dataset import DatasetView
from finetuneflow_client.cli.view.datasetfacts import show_dataset
from finetuneflow_client.cli.view.estimate import estimate_basis, estimate_rows
from finetuneflow_client.cli.view.evaluation import evaluation_table
from finetuneflow_client.cli.view.expected import expected_rows
from finetuneflow_client.cli.view.hardware import inventory_lines, node_table, recommendation_text
from finetuneflow_client.cli.view.run import RunView
from finetuneflow_client.cli.view.series import Series
from finetuneflow_client.places import place


def report(step: int, attempt: int = 1, time: float = 0, **values: float) -> worker_service_pb2.Report:
    """Return a trainer's report of metrics at a step."""
    metrics = worker_service_pb2.MetricPoint(step=step, total_steps=100, values=values)
    found = worker_service_pb2.Report(seq=step, attempt=attempt, metrics=metrics)
    found.time.seconds = int(time)
    return found


def drawn(renderable: RenderableType, width: int = 80) -> str:
    """Return what rich draws, without colour."""
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO above


def test_a_curve_goes_through_its_points_and_is_joined_between_them() -> None:
    """A falling line begins in the upper left corner and ends in the lower right one."""
    inside = curve.frame([[(0, 2.0), (10, 1.0)]], width=5, height=3, right=10)
    rows = curve.line([(0, 2.0), (10, 1.0)], inside)

    assert [len(row) for row in rows] == [5, 5, 5]
    assert ord(rows[0][0]) & 0x01
    assert ord(rows[2][4]) & 0x80
    assert all(any(ord(row[column]) > 0x2800 for row in rows) for column in range(5))


@pytest.mark.parametrize("points", [[], [(1, 5.0)], [(1, 5.0), (2, 5.0)]])
def test_a_curve_of_few_or_equal_points_is_drawn_too(points: list[curve.Point]) -> None:
    """Training begins with one point, and a loss may stand still."""
    rows = curve.line(points, curve.frame([points], 10, 2, 0))

    assert [len(row) for row in rows] == [10, 10]


def test_a_later_attempt_replaces_the_points_after_its_checkpoint() -> None:
    """So that the curve is that of the weights that came out."""
    series = Series()
    for step in (1, 2, 3, 4):
        series.add(report(step, loss=10 + step))
    series.add(report(3, attempt=2, loss=1.0))

    assert series.curve("loss") == [(1, 11), (2, 12), (3, 1.0)]
    assert series.step == 3


def test_speed_and_time_left_come_from_the_recent_steps() -> None:
    """Two seconds a step, 100 tokens a step, 90 steps to go."""
    series = Series()
    for step in range(1, 11):
        series.add(report(step, time=1000 + 2 * step, loss=1.0, num_tokens=100.0 * step))

    assert series.step_seconds() == pytest.approx(2)
    assert series.tokens_per_second() == pytest.approx(50)
    assert series.seconds_left() == pytest.approx(180)


def test_a_counter_that_starts_again_gives_no_false_speed() -> None:
    """num_tokens restarts at 0 when training resumes."""
    series = Series()
    series.add(report(1, time=1000, loss=1.0, num_tokens=5000.0))
    series.add(report(2, attempt=2, time=1002, loss=1.0, num_tokens=100.0))

    assert series.tokens_per_second() == 0


@pytest.mark.parametrize("width", [30, 80, 200])
def test_a_run_is_drawn_on_any_width(width: int) -> None:
    """No line is wider than the terminal."""
    view = RunView("projects/p/runs/r1")
    run = run_pb2.Run(work=work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING, attempt=1))
    view.update(training_service_pb2.WatchRunResponse(run=run))
    for step in range(1, 50):
        view.update(training_service_pb2.WatchRunResponse(report=report(step, loss=3.0 / step, eval_loss=3.0)))

    assert max(map(len, drawn(view, width).splitlines())) <= width
    assert view.line().startswith("r1: train step 49/100, loss 0.0612")
    run.work.state = work_pb2.WORK_STATE_SUCCEEDED
    view.update(training_service_pb2.WatchRunResponse(run=run))
    assert view.line() == "r1: succeeded after 49 steps"


def test_drops_are_added_up_by_reason_most_first() -> None:
    """A user wants to know what to mend first."""
    dataset = dataset_pb2.Dataset(work=work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING))
    for stage, reasons in (("replies", {"INVALID_JSON": 1}), ("examples", {"DUPLICATE": 5, "INVALID_JSON": 1})):
        drops = [work_pb2.Drop(reason=reason, count=count) for reason, count in reasons.items()]
        dataset.counts.append(work_pb2.StageCount(stage=stage, out=7, dropped=drops))
    view = DatasetView("projects/p/datasets/d1")
    view.update(dataset)

    assert view.line().endswith("dropped DUPLICATE 5, INVALID_JSON 2")
    assert "7 accepted" in view.line()
    assert "DUPLICATE 5" in drawn(view)


def test_examples_of_those_wanted_are_the_main_figure_of_a_generation() -> None:
    """Calls stand beside them; without a wanted number the calls lead. The bar ends with whichever comes first."""
    work = work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING)
    work.progress.phase, work.progress.done, work.progress.total, work.progress.unit = "generate", 2, 206, "calls"
    dataset = dataset_pb2.Dataset(work=work, counts=[work_pb2.StageCount(stage="examples", out=6)])
    view = DatasetView("projects/p/datasets/d1")
    view.update(dataset)
    open_ended = view.line()
    dataset.spec.accepted_examples = 24
    view.update(dataset)

    assert open_ended.startswith("d1: generate 2/206 calls, 6 accepted")
    assert view.line().startswith("d1: 6 of 24 examples, generate 2/206 calls")
    assert "accepted" not in view.line()
    assert view.mark()[1] == 0.25
    assert "6 of 24 examples" in drawn(view)
    assert "2/206 calls" in drawn(view)


def test_a_recommendation_is_lines_where_there_is_no_terminal() -> None:
    """One for what it needs, then settings and reasons, none wider than 100 letters."""
    found = plan_pb2.Recommendation(reasons=["It fits. " * 20, "It is quick."])
    found.alternative.reason = "Train less."
    lines = recommendation_text(found, [(f"setting_{n}", str(n)) for n in range(20)]).splitlines()

    assert lines[0].startswith("recommended: needs ")
    assert max(map(len, lines)) <= 100
    assert lines[-2:] == ["  because It is quick.", "  next best: Train less."]


def test_an_evaluation_tells_generalising_and_recalling_apart() -> None:
    """A set without examples has no scores, rather than zeros."""
    found = evaluation_pb2.Evaluation(
        recall=evaluation_pb2.EvalScore(
            examples=4, base_loss=3.0, tuned_loss=1.5, base_perplexity=20.1, tuned_perplexity=4.48
        )
    )
    lines = drawn(evaluation_table(found), 160).splitlines()

    assert next(line for line in lines if "generalise" in line).count("–") == 5
    assert "-50.0%" in next(line for line in lines if "recall" in line)


class _Counting:
    """A view that counts to a total."""

    def __init__(self) -> None:
        self.done = 0

    def line(self) -> str:
        return f"{self.done}/100"

    def mark(self) -> tuple[str, float]:
        return "count", self.done / 100

    def __rich__(self) -> str:
        return self.line()


def test_without_a_terminal_only_noteworthy_changes_make_a_line() -> None:
    """Each tenth, each five seconds, and the end; not each step."""
    stream, now = io.StringIO(), [0.0]
    screen, view = Screen(stream, clock=lambda: now[0]), _Counting()
    with screen.showing(view) as changed:
        for view.done in range(1, 25):
            changed()
        now[0] = 6.0
        changed()
        view.done = 26
        changed()

    assert stream.getvalue().split() == ["1/100", "11/100", "21/100", "24/100", "26/100"]


def test_quiet_leaves_warnings() -> None:
    """They are about what was lost."""
    stream = io.StringIO()
    screen = Screen(stream, quiet=True)
    with screen.showing(_Counting()) as changed:
        changed()
    screen.say("remark")
    screen.draw("picture", "line")
    screen.warn("left out")

    assert stream.getvalue() == "left out\n"


def test_a_clusters_nodes_are_shown_with_what_is_free_and_why_one_takes_no_runs() -> None:
    """One line a node, after one for all of them."""
    gpu = device_pb2.Node(
        name="h",
        gpu_product="NVIDIA-H100-80GB-HBM3",
        gpus=8,
        gpus_free=3,
        gpu_memory_bytes=81559 << 20,
        bf16=True,
        cpu_millicores=96_000,
        cpu_free_millicores=12_500,
    )
    found = device_pb2.Inventory(summary="2 nodes", nodes=[gpu, device_pb2.Node(name="c", problem="not ready")])
    lines = drawn(node_table(found), 120).splitlines()

    assert inventory_lines(found) == ["2 nodes"]
    assert "3 of 8" in lines[1]
    assert "NVIDIA-H100-80GB-HBM3" in lines[1]
    assert "12.5 of 96.0" in lines[1]
    assert lines[1].rstrip().endswith("yes")
    assert lines[2].rstrip().endswith("no: not ready")


def test_what_was_expected_stands_beside_what_was_measured() -> None:
    """Ranges where they are some; nothing where nothing is known, and no cost without prices."""
    expected = dataset_pb2.Estimate()
    expected.calls.low, expected.calls.high = 100, 100
    expected.prompt_tokens.low, expected.prompt_tokens.high = 1000, 2500
    usage = dataset_pb2.Usage(calls=100, prompt_tokens=1800, completion_tokens=900, seconds=75)
    dataset = dataset_pb2.Dataset(estimate=expected, usage=usage)

    assert estimate_rows(dataset) == [
        ("calls", "100", "100"),
        ("prompt tokens", "1,000 to 2,500", "1,800"),
        ("reply tokens", "", "900"),
        ("time", "", "75 s"),
    ]
    assert "`ftf dataset preview` makes a few, and is measured" in estimate_basis(dataset)


@pytest.mark.parametrize("held_back", [True, False])
def test_a_dataset_whose_llm_may_take_more_at_once_says_how(held_back: bool) -> None:
    """Beside the measured use; otherwise nothing is said."""
    stream = io.StringIO()
    dataset = dataset_pb2.Dataset(name="projects/p/datasets/d", usage=dataset_pb2.Usage(calls=40, held_back=held_back))
    dataset.spec.llm_endpoint = "llmEndpoints/teacher"
    show_dataset(Output(stream), dataset)
    said = " ".join(stream.getvalue().split())

    assert ("teacher was asked as much at once as its limit allows" in said) is held_back
    assert ("`ftf llm update --adaptive`" in said) is held_back


def test_what_a_run_was_expected_to_take_stands_beside_what_it_took() -> None:
    """Before it has run, nothing is measured; a cost is told only where there is a price."""
    run = run_pb2.Run(price_per_hour=3600)
    run.estimate.training_memory_bytes.MergeFrom(estimate_pb2.Range(low=1 << 30, likely=2 << 30, high=3 << 30))
    run.estimate.steps.MergeFrom(estimate_pb2.Range(low=30, likely=30, high=30))
    before = {name: rest for name, *rest in expected_rows(run)}
    run.estimate.cost.MergeFrom(estimate_pb2.Range(low=1, likely=2, high=4))
    run.result.MergeFrom(run_pb2.RunResult(steps=30, train_seconds=2, evaluation_seconds=1))
    after = {name: rest for name, *rest in expected_rows(run)}

    assert before["memory while training"] == ["1.0 GiB to 3.0 GiB", "2.0 GiB", ""]
    assert before["steps"] == ["30", "30", ""]
    assert "cost" not in before
    assert after["steps"] == ["30", "30", "30"]
    assert after["cost"] == ["1.0000 to 4.0000", "2.0000", "3.0000"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"page": 3, "paragraph": 2}, "page 3"),
        ({"slide": 4, "headings": ["Pump"], "paragraph": 9}, "slide 4"),
        ({"sheet": "Prices", "cells": "A2:F9", "headings": ["Prices"]}, "sheet Prices, A2:F9"),
        ({"cells": "B3", "paragraph": 1}, "cells B3"),
        ({"line": 12, "paragraph": 12}, "line 12"),
        ({"pointer": "/items/3", "headings": ["items"]}, "/items/3"),
        ({"headings": ["Leave", "Parental leave"], "paragraph": 12}, "Leave › Parental leave, paragraph 12"),
    ],
)
def test_a_place_is_said_as_its_kind_of_document_has_it(fields: dict[str, Any], words: str) -> None:
    """Page, slide, cells, line, value, or headings and paragraph."""
    assert place(chunk_pb2.Place(**fields)) == words
