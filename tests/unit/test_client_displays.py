"""What a notebook shows of a run and of an example."""

from __future__ import annotations

from typing import cast
from xml.etree import ElementTree

from finetuneflow.common.v1 import work_pb2, worker_service_pb2
from finetuneflow.dataset.v1 import example_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.client import Services
from finetuneflow_client.resources import Example, Run
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
