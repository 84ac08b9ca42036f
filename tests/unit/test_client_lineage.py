"""What of a project's weights learned from a version."""

from __future__ import annotations

from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.cli.lineage import learned


def _run(name: str, sha256: str, begun: str = "", earlier: tuple[str, ...] = ()) -> run_pb2.Run:
    start = f"{begun}/checkpoints/2" if begun else ""
    return run_pb2.Run(name=name, dataset_sha256=sha256, resume_from_checkpoint=start, earlier_dataset_sha256s=earlier)


def _export(name: str, run: run_pb2.Run) -> export_pb2.Export:
    origin = export_pb2.Origin(
        dataset_sha256=run.dataset_sha256,
        resume_from_checkpoint=run.resume_from_checkpoint,
        earlier_dataset_sha256s=run.earlier_dataset_sha256s,
    )
    return export_pb2.Export(name=name, run=run.name, origin=origin)


def _found(runs: list[run_pb2.Run], exports: list[export_pb2.Export]) -> tuple[list[str], list[str]]:
    found_runs, found_exports = learned(runs, exports, {"bad"})
    return [run.name for run in found_runs], [export.name for export in found_exports]


FIRST = _run("r1", "bad")
SECOND = _run("r2", "good", "r1")
THIRD = _run("r3", "good", "r2")
APART = _run("r4", "good")


def test_weights_are_followed_to_any_distance() -> None:
    """Whichever comes first in a list."""
    runs = [THIRD, APART, SECOND, FIRST]

    assert _found(runs, [_export(f"x{run.name}", run) for run in runs]) == (["r3", "r2", "r1"], ["xr3", "xr2", "xr1"])


def test_a_run_that_is_deleted_is_followed_by_its_export() -> None:
    """Also from one deleted run to the next."""
    assert _found([THIRD], [_export("x1", FIRST), _export("x2", SECOND)]) == (["r3"], ["x1", "x2"])


def test_a_run_that_is_deleted_and_has_no_export_is_followed_by_what_came_of_it() -> None:
    """By the hashes that a later run kept."""
    later = _run("r3", "good", "r2", ("good", "bad"))

    assert _found([later, APART], [_export("x3", later)]) == (["r3"], ["x3"])


def test_an_export_is_not_taken_for_one_of_a_later_run_of_the_same_name() -> None:
    """What it recorded counts, not who has the name now."""
    assert _found([FIRST], [_export("x", _run("r1", "good"))]) == (["r1"], [])
    assert _found([_run("r1", "good")], [_export("x", FIRST)]) == ([], ["x"])


def test_an_export_of_a_server_that_does_not_say_what_it_recorded_goes_with_its_run() -> None:
    """An older server: nothing is listed less than before."""
    exports = [export_pb2.Export(name="x1", run="r1"), export_pb2.Export(name="x4", run="r4")]

    assert _found([FIRST, APART], exports) == (["r1"], ["x1"])
