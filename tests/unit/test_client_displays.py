"""What a notebook shows of a run and of an example."""

from __future__ import annotations

from typing import cast
from xml.etree import ElementTree

from finetuneflow.common.v1 import work_pb2, worker_service_pb2
from finetuneflow.dataset.v1 import dataset_pb2, example_pb2
from finetuneflow.export.v1 import export_pb2
from finetuneflow.ingest.v1 import file_pb2, project_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.client import Services
from finetuneflow_client.resources import Dataset, Example, Export, File, Project, Run
from finetuneflow_client.resources.html import curves

NOBODY = cast("Services", None)
SVG = "{http://www.w3.org/2000/svg}"


def parsed(html: str) -> ElementTree.Element:
    """Read it as XML, which refuses what is not closed or not escaped."""
    return ElementTree.fromstring(f"<div>{html}</div>")


def test_a_run_shows_its_facts_and_the_curve_of_its_loss() -> None:
    """As an inline SVG: nothing is fetched, and it stays in a saved notebook."""
    points = [
        worker_service_pb2.MetricPoint(step=step, values={"loss": 3.0 - step / 10, "eval_loss": 3.5})
        for step in range(1, 11)
    ]
    work = work_pb2.Work(state=work_pb2.WORK_STATE_SUCCEEDED)
    run = Run(NOBODY, run_pb2.Run(name="projects/p/runs/r1", model="models/<m>", work=work, curve=points))
    shown = parsed(run._repr_html_())

    lines = shown.findall(f".//{SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [10, 10]
    assert "models/<m>" in "".join(shown.itertext())
    assert "succeeded" in "".join(shown.itertext())


def test_a_run_that_has_no_numbers_yet_shows_its_facts_alone() -> None:
    """There is no empty plot."""
    run = Run(NOBODY, run_pb2.Run(name="projects/p/runs/r1"))

    assert "<svg" not in run._repr_html_()


def test_a_long_curve_is_drawn_with_few_points() -> None:
    """A notebook stays small."""
    shown = parsed(curves({"loss": [(step, 1.0) for step in range(100_000)]}))

    (line,) = shown.findall(f".//{SVG}polyline")
    assert len(line.attrib["points"].split()) <= 400


def test_a_curve_leaves_out_what_is_no_number() -> None:
    """A loss that ran away spoils neither the axis nor the rest of the line."""
    ran_away = curves(
        {"loss": [(1, 2.0), (2, float("inf")), (3, float("nan")), (4, 1.0)], "eval_loss": [(4, float("nan"))]}
    )

    (line,) = parsed(ran_away).findall(f".//{SVG}polyline")
    assert len(line.attrib["points"].split()) == 2
    assert "nan" not in ran_away
    assert curves({"loss": [(1, float("nan"))]}) == ""


def test_an_example_shows_its_evidence_marked_in_its_chunk() -> None:
    """What strangers wrote is text, never markup."""
    message = example_pb2.Example(
        name="projects/p/datasets/d/examples/e",
        prompt="<script>alert(1)</script>?",
        response="Four bar.",
        evidence="opens at 4 bar & closes at 3",
        accepted=True,
    )
    example = Example(NOBODY, message)
    alone = parsed(example._repr_html_())
    example._chunk_text = "The valve opens at 4 bar & closes at 3, <b>always</b>."
    shown = parsed(example._repr_html_())

    assert [mark.text for mark in alone.findall(".//mark")] == ["opens at 4 bar & closes at 3"]
    assert [mark.text for mark in shown.findall(".//mark")] == ["opens at 4 bar & closes at 3"]
    assert "The valve opens at 4 bar & closes at 3, <b>always</b>." in "".join(shown.itertext())
    assert shown.findall(".//script") == shown.findall(".//b") == []


def test_what_else_a_notebook_holds_shows_its_facts() -> None:
    """What strangers wrote is text, never markup: names, paths, what was dropped."""
    planted = "<script>alert(1)</script>"
    count = work_pb2.StageCount(stage="examples", out=9, dropped=[work_pb2.Drop(reason=planted, count=3)])
    version = dataset_pb2.DatasetVersion(version=2, train_examples=8, eval_examples=1)
    work = work_pb2.Work(state=work_pb2.WORK_STATE_SUCCEEDED)
    held = [
        Project(NOBODY, project_pb2.Project(name="projects/p", display_name=planted)),
        File(NOBODY, file_pb2.File(name="projects/p/files/f", display_name=planted, work=work)),
        Dataset(NOBODY, dataset_pb2.Dataset(name="d", work=work, counts=[count], versions=[version])),
        Export(
            NOBODY, export_pb2.Export(name="x", run=planted, format=export_pb2.FORMAT_GGUF, quantization=1, work=work)
        ),
    ]
    shown = [parsed(one._repr_html_()) for one in held]
    words = ["".join(one.itertext()) for one in shown]

    assert all(planted in text for text in words)
    assert all(one.find(".//script") is None for one in shown)
    assert "8 train, 1 eval" in words[2]
    assert f"gguf {export_pb2.Quantization.Name(1).removeprefix('QUANTIZATION_')}" in words[3]
