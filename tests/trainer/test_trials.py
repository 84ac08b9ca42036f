"""Evaluations while a training goes on: the best weights are kept, and a training that no longer gets better ends."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetuneflow.training.v1 import config_pb2, run_pb2
from services.trainer.best import Rule
from services.trainer.reporter import Orders
from services.trainer.totals import MOST_POINTS, Totals
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, rows, run_here, started, train_spec, until, when, write_dataset

WATCHED: dict[str, Any] = {
    # So high that it gets worse: there is a best evaluation in the midst of the training.
    "learning_rate": 30.0,
    "lr_scheduler_type": "constant",
    "warmup_ratio": 0.0,
    "num_eval_answers": 0,
    "eval_steps": 2,
    "load_best_model_at_end": True,
    "divergence_factor": 0,
    "max_steps": 10,
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[WorkerHost]:
    """A run whose best evaluation is not its last, uninterrupted."""
    folder = tmp_path_factory.mktemp("watched")
    dataset = write_dataset(folder / "dataset.jsonl", rows())
    with WorkerHost(folder / "objects", train_spec(dataset, model, config(**WATCHED))) as host:
        assert run_here(host, folder / "work") == 0
        yield host


def result_of(host: WorkerHost) -> run_pb2.RunResult:
    """What the last FinishAttempt said."""
    result = run_pb2.RunResult()
    assert host.finished[-1].result.Unpack(result)
    return result


def test_the_weights_of_the_best_evaluation_are_what_the_run_leaves(watched: WorkerHost) -> None:
    """They are evaluated at the end, and come to what they came to then; the report says of which step they are."""
    result = result_of(watched)
    best = min(result.evaluations, key=lambda point: point.values["eval_loss"])
    kept = [c for c in watched.checkpoints if c.best][-1]
    adapter = next(f for f in kept.files if f.filename == "adapter_model.safetensors")

    assert [point.step for point in result.evaluations] == [2, 4, 6, 8, 10]
    assert result.kept_step == best.step == kept.step < result.steps == 10
    assert not result.stopped_early
    assert result.evaluation.generalise.tuned_loss == pytest.approx(best.values["eval_loss"], rel=1e-6)
    one, other = ((watched.folder / key).read_bytes() for key in (adapter.key, key_of(watched)))
    assert one == other
    assert kept.metrics["eval_loss"] == best.values["eval_loss"]
    assert f"| weights that are kept: of step | {best.step} |" in watched.artifact("report.md").read_text()


def key_of(host: WorkerHost) -> str:
    """Key of the adapter that a run left."""
    return str(host.artifact("adapter_model.safetensors").relative_to(host.folder))


def test_evaluating_changes_nothing_of_the_training(watched: WorkerHost, tmp_path: Path, objects: Path) -> None:
    """The losses are those of the same training without a look at it."""
    spec = run_pb2.TrainSpec()
    spec.CopyFrom(watched.spec)
    for name in ("eval_steps", "load_best_model_at_end"):
        spec.config.ClearField(name)
    with WorkerHost(objects, spec) as host:
        assert run_here(host, tmp_path / "work") == 0

    assert host.curve() == watched.curve()
    assert [step for _, step, _ in watched.curve("eval_loss")] == [2, 4, 6, 8, 10]
    assert host.curve("eval_loss") == []


@pytest.mark.parametrize("step", [3, 6, 10])
def test_a_resumed_run_keeps_the_same_best_weights(
    watched: WorkerHost, tmp_path: Path, objects: Path, step: int
) -> None:
    """Also where the best is older than the checkpoint to go on from, and where only the end was left to do."""
    shutil.copytree(watched.folder, objects)
    with WorkerHost(objects, watched.spec) as host:
        host.pods.append("pod-0")
        host.checkpoints = [c for c in watched.checkpoints if c.step <= step]
        code = run_here(host, tmp_path / "work", pod="pod-1")

    assert code == 0
    assert result_of(host).kept_step == result_of(watched).kept_step
    assert result_of(host).evaluations == result_of(watched).evaluations
    one, other = (h.artifact("adapter_model.safetensors").read_bytes() for h in (host, watched))
    assert one == other


def test_a_training_ends_when_evaluations_bring_nothing_more(watched: WorkerHost, tmp_path: Path) -> None:
    """With the best weights; and one that is killed right after that trains no further.

    The loss falls from the first evaluation to the second, so by a rule that wants it high the second brings nothing.
    """
    settings = config_pb2.TrainingConfig()
    settings.CopyFrom(watched.spec.config)
    settings.early_stopping_patience = 1
    settings.greater_is_better = True
    spec = run_pb2.TrainSpec()
    spec.CopyFrom(watched.spec)
    spec.config.CopyFrom(settings)
    with WorkerHost(tmp_path / "objects", spec) as host:
        assert run_here(host, tmp_path / "work") == 0
    with WorkerHost(tmp_path / "objects", spec) as again:
        again.pods.append("pod-0")
        again.checkpoints = host.checkpoints
        assert run_here(again, tmp_path / "work", pod="pod-1") == 0
    result, repeated = result_of(host), result_of(again)

    assert result.stopped_early
    assert [point.step for point in result.evaluations] == [2, 4]
    assert (result.steps, result.kept_step) == (4, 2)
    assert again.curve() == []
    assert (repeated.steps, repeated.kept_step, repeated.stopped_early) == (result.steps, result.kept_step, True)


def test_an_evaluation_that_sigterm_came_before_is_made_up_for(
    tmp_path: Path, objects: Path, dataset: Path, model: Path
) -> None:
    """The trainer saves without it, and the next attempt begins with it."""
    settings = config(max_steps=400, save_steps=1000, eval_steps=1, load_best_model_at_end=True)
    orders = Orders()
    with WorkerHost(objects, train_spec(dataset, model, settings)) as host:
        with when(lambda: len(host.curve("eval_loss")) >= 2, orders.terminate):
            assert run_here(host, tmp_path / "work", orders=orders) == 143
        saved = host.checkpoints[-1].step
        settings.max_steps = saved + 2
        host.spec = train_spec(dataset, model, settings)
        assert run_here(host, tmp_path / "work", pod="pod-2") == 0
    until(lambda: bool(host.finished))

    assert [point.step for point in result_of(host).evaluations] == list(range(1, saved + 3))


def test_the_best_is_counted_as_transformers_counts_it() -> None:
    """Over random evaluations, with every kind of rule."""
    from transformers import EarlyStoppingCallback, TrainerControl

    chance = random.Random(3)
    for _ in range(300):
        rule = Rule("m", chance.random() < 0.5, chance.randint(1, 4), chance.choice([0.0, 0.1, 0.5]))
        values = [chance.choice([float("nan"), *(round(chance.random(), 1) for _ in range(9))]) for _ in range(12)]
        callback = EarlyStoppingCallback(rule.patience, rule.threshold)
        args = SimpleNamespace(greater_is_better=rule.greater, metric_for_best_model="eval_m")
        state = SimpleNamespace(best_metric=None, step=0)
        for n, value in enumerate(values, start=1):
            control = TrainerControl()
            callback.on_evaluate(args, state, control, {"eval_m": value})
            before = float("-inf" if rule.greater else "inf") if state.best_metric is None else state.best_metric
            better = value > before if rule.greater else value < before
            state.best_metric, state.step = (value, n) if better else (before, state.step)
            evaluations = [{"step": step, "m": v} for step, v in enumerate(values[:n], start=1)]

            assert rule.judge(evaluations) == (state.step, callback.early_stopping_patience_counter)
            assert rule.exhausted(evaluations) == control.should_training_stop


@pytest.mark.parametrize("kept", [1, 3_334, 9_999, 10_000])
def test_a_result_lists_evaluations_only_as_far_as_a_document_has_room(kept: int) -> None:
    """In order, the first, the last and that of the kept weights among them; all where there are few."""
    totals = Totals(evaluations=[{"step": step, "eval_loss": 1 / step} for step in range(1, 10_001)])
    steps = [point.step for point in totals.points(kept)]
    few = Totals(evaluations=totals.evaluations[:MOST_POINTS]).points(1)

    assert len(steps) in (MOST_POINTS - 1, MOST_POINTS)
    assert {1, kept, 10_000} <= set(steps)
    assert steps == sorted(set(steps))
    assert max(b - a for a, b in itertools.pairwise(steps)) < 30
    assert [point.step for point in few] == list(range(1, MOST_POINTS + 1))


def test_without_anything_held_out_there_is_nothing_to_evaluate_on(tmp_path: Path, objects: Path, model: Path) -> None:
    """The run is refused before it loads the model."""
    from services.common.statuses import from_status

    lines = [row for row in rows() if row["split"] == "TRAIN"]
    spec = train_spec(write_dataset(tmp_path / "dataset.jsonl", lines), model, config(eval_steps=2))
    with WorkerHost(objects, spec) as host:
        assert run_here(host, tmp_path / "work") == 3

    assert from_status(host.finished[-1].error).reason == "NO_EVAL_EXAMPLES"


@pytest.mark.model
@pytest.mark.timeout(200)
def test_two_processes_evaluate_together_and_leave_the_same_best_weights(tmp_path: Path, model: Path) -> None:
    """Each scores a share, the best weights reach both, and the evaluation at the end says so."""
    dataset = write_dataset(tmp_path / "dataset.jsonl", rows(held_out=12))
    settings = config(**{**WATCHED, "gradient_accumulation_steps": 1, "eval_steps": 1})
    with (
        WorkerHost(tmp_path / "objects", train_spec(dataset, model, settings)) as host,
        started(host, tmp_path / "pod", FTF_PROCESSES="2") as process,
    ):
        code = process.wait(150)
    result = result_of(host)
    best = min(result.evaluations, key=lambda point: point.values["eval_loss"])

    assert code == 0
    assert result.kept_step == best.step < result.steps
    assert result.evaluation.generalise.tuned_loss == pytest.approx(best.values["eval_loss"], rel=1e-5)
