"""What a report tells of what was expected and what was measured."""

from __future__ import annotations

from finetuneflow.training.v1 import estimate_pb2, run_pb2
from services.trainer.reportestimate import expected
from services.trainer.reportparts import Table

RESULT = run_pb2.RunResult(
    steps=30,
    device="cpu",
    training_peak_memory_bytes=2_500_000_000,
    libraries_memory_bytes=930_000_000,
    train_seconds=3000,
    evaluation_seconds=600,
)


def test_ranges_stand_beside_what_was_measured() -> None:
    """With what the libraries took, and a cost where there is a price; what was not measured says so."""
    spec = run_pb2.TrainSpec(price_per_hour=2)
    spec.estimate.note = "Calibrated by 3 runs on a CPU."
    spec.estimate.training_memory_bytes.MergeFrom(estimate_pb2.Range(low=2e9, likely=2.4e9, high=3e9))
    spec.estimate.steps.MergeFrom(estimate_pb2.Range(low=30, likely=30, high=30))
    spec.estimate.cost.MergeFrom(estimate_pb2.Range(low=1, likely=2, high=4))
    table, note = expected(spec, RESULT)
    assert isinstance(table, Table)
    rows = {row[0]: list(row[1:]) for row in table.rows}

    assert rows["memory while training"] == ["1.9 GiB to 2.8 GiB, likely 2.2 GiB", "2.3 GiB"]
    assert rows["memory while evaluating"][1] == "not measured"
    assert rows["steps"] == ["30", "30"]
    assert rows["cost"] == ["1.0000 to 4.0000, likely 2.0000", "2.0000"]
    assert "887 MiB of it were there before the model. Calibrated by 3 runs" in str(note)


def test_a_run_of_which_nothing_was_expected_has_no_such_table() -> None:
    """One of a model that the arithmetic does not know."""
    assert expected(run_pb2.TrainSpec(), RESULT) == []
