"""Evaluations while DPO and KTO train: TRL's numbers on what is held out, by which the best weights are kept."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import worker_service_pb2
from finetuneflow.training.v1 import config_pb2, run_pb2
from services.common.statuses import from_status
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, run_here, started, train_spec, until, write_dataset
from tests.trainer.test_preferences import DPO, FULL, KTO, judged

WATCHED: dict[str, Any] = {"max_steps": 4, "eval_steps": 2, "load_best_model_at_end": True, "num_eval_answers": 0}
RUNS: dict[str, dict[str, Any]] = {
    "dpo": {**DPO, **WATCHED, "learning_rate": 3.0, "metric_for_best_model": "eval_rewards/accuracies"},
    "dpo-full": {**DPO, **WATCHED, **FULL, "precompute_ref_log_probs": True},
    "kto": {**KTO, **WATCHED, "metric_for_best_model": "eval_rewards/margins"},
}
GREATER = {"dpo": True, "dpo-full": False, "kto": True}


def spec_of(folder: Path, model: Path, name: str, **others: Any) -> run_pb2.TrainSpec:
    """A run of one of these, with four preferences or verdicts held out: two batches of two."""
    dataset = write_dataset(folder / "dataset.jsonl", judged("DPO" if name.startswith("dpo") else "KTO", held_out=4))
    settings = config(**{**RUNS[name], "greater_is_better": GREATER[name], **others})
    return train_spec(dataset, model, settings)


def result_of(host: WorkerHost) -> run_pb2.RunResult:
    """What the last FinishAttempt said."""
    result = run_pb2.RunResult()
    assert host.finished[-1].result.Unpack(result)
    return result


@pytest.fixture(scope="module", params=["dpo", pytest.param("dpo-full", marks=pytest.mark.model), "kto"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Any]:
    """A run by each, uninterrupted, and its name."""
    folder = tmp_path_factory.mktemp(request.param)
    with WorkerHost(folder / "objects", spec_of(folder, model, request.param)) as host:
        assert run_here(host, folder / "work") == 0
        yield request.param, host


def test_what_trl_says_of_the_kept_weights_is_what_the_evaluation_at_the_end_counts(watched: Any) -> None:
    """The margin, the share of right pairs and the loss are the same by both ways, at the step of the best."""
    name, host = watched
    result = result_of(host)
    chosen = host.spec.config.metric_for_best_model or "eval_loss"
    values = {point.step: dict(point.values) for point in result.evaluations}
    best = (max if GREATER[name] else min)(values, key=lambda step: values[step][chosen])
    score, kept = result.evaluation.generalise.rewards, values[result.kept_step]

    assert sorted(values) == [2, 4]
    assert result.kept_step == best
    assert kept["eval_rewards/margins"] == pytest.approx(score.reward_margin, rel=1e-3, abs=1e-4)
    if name != "kto":
        assert kept["eval_rewards/accuracies"] == pytest.approx(score.reward_accuracy)
        assert kept["eval_loss"] == pytest.approx(score.loss, rel=1e-3)
    assert [step for _, step, _ in host.curve("eval_rewards/margins")] == [2, 4]
    heads = [line for line in host.artifact("report.md").read_text().splitlines() if line.startswith("| after step")]
    assert "margin of rewards" in heads[0]


def test_evaluating_changes_nothing_of_the_training(watched: Any, tmp_path: Path, model: Path) -> None:
    """Losses and rewards are those of the same training without a look at it."""
    _, host = watched
    spec = run_pb2.TrainSpec()
    spec.CopyFrom(host.spec)
    for field in ("eval_steps", "load_best_model_at_end", "metric_for_best_model", "greater_is_better"):
        spec.config.ClearField(field)
    with WorkerHost(tmp_path / "objects", spec) as other:
        assert run_here(other, tmp_path / "work") == 0

    assert other.curve() == host.curve()
    assert other.curve("rewards/chosen") == host.curve("rewards/chosen")
    assert other.curve("eval_loss") == []


def test_a_resumed_run_comes_to_the_same_evaluations(watched: Any, tmp_path: Path) -> None:
    """From its first checkpoint: also where what the model was is computed once, beforehand."""
    _, host = watched
    objects = tmp_path / "objects"
    shutil.copytree(host.folder, objects)
    with WorkerHost(objects, host.spec) as again:
        again.pods.append("pod-0")
        again.checkpoints = [c for c in host.checkpoints if c.step <= 3][-1:]
        assert run_here(again, tmp_path / "work", pod="pod-1") == 0

    assert result_of(again).evaluations == result_of(host).evaluations
    assert result_of(again).kept_step == result_of(host).kept_step


def test_a_margin_takes_wanted_and_unwanted_answers_held_out(tmp_path: Path, model: Path) -> None:
    """Where only one kind is held out, a run that chooses by it is refused before the model is loaded."""
    spec = spec_of(tmp_path, model, "kto")
    lines = [row for row in judged("KTO", held_out=4) if row["split"] == "TRAIN" or row["label"]]
    other = train_spec(write_dataset(tmp_path / "dataset.jsonl", lines), model, spec.config)
    with WorkerHost(tmp_path / "objects", other) as host:
        assert run_here(host, tmp_path / "work") == 3
        error = from_status(host.finished[-1].error)

    assert error.reason == "NO_EVAL_EXAMPLES"
    assert "eval_loss" in error.message


def test_verdicts_are_evaluated_two_at_a_time_at_least(tmp_path: Path, model: Path) -> None:
    """Also where they are trained on one by one, as apo_zero_unpaired allows."""
    from services.trainer.settings import eval_batch

    apo = {"loss_type": ["apo_zero_unpaired"], "per_device_train_batch_size": 1}
    settings = spec_of(tmp_path, model, "kto", **apo).config

    assert eval_batch(settings) == 2
    assert eval_batch(config_pb2.TrainingConfig(objective=config_pb2.OBJECTIVE_DPO, per_device_train_batch_size=1)) == 1


@pytest.mark.model
@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_two_processes_evaluate_together(tmp_path: Path, model: Path, name: str) -> None:
    """Each a batch, and both keep the same weights; the evaluation at the end finds the same."""
    dataset = write_dataset(tmp_path / "dataset.jsonl", judged(name.upper(), held_out=4))
    settings = config(**{**RUNS[name], "gradient_accumulation_steps": 1, "greater_is_better": GREATER[name]})
    with (
        WorkerHost(tmp_path / "objects", train_spec(dataset, model, settings)) as host,
        started(host, tmp_path / "pod", FTF_PROCESSES="2") as process,
    ):
        code = process.wait(150)
    result = result_of(host)
    kept = next(dict(point.values) for point in result.evaluations if point.step == result.kept_step)

    assert code == 0
    assert [point.step for point in result.evaluations] == [2, 4]
    score = result.evaluation.generalise.rewards
    assert kept["eval_rewards/margins"] == pytest.approx(score.reward_margin, rel=1e-3, abs=1e-4)


@pytest.mark.model
@pytest.mark.timeout(200)
@pytest.mark.parametrize("order", ["STOP", "SIGTERM"])
def test_two_processes_of_dpo_end_when_they_are_told(tmp_path: Path, model: Path, order: str) -> None:
    """Launched by accelerate, evaluating every other step: STOP ends both with 0 and leaves nothing, SIGTERM saves."""
    dataset = write_dataset(tmp_path / "dataset.jsonl", judged("DPO", held_out=4))
    endless = {"max_steps": 100_000, "save_steps": 10_000, "eval_steps": 2, "num_eval_answers": 0}
    settings = config(**{**DPO, **endless, "learning_rate": 1e-6, "gradient_accumulation_steps": 1})
    with (
        WorkerHost(tmp_path / "objects", train_spec(dataset, model, settings)) as host,
        started(host, tmp_path / "pod", FTF_PROCESSES="2") as launcher,
    ):
        until(lambda: len(host.curve()) >= 5, 120)
        if order == "STOP":
            host.command(worker_service_pb2.COMMAND_STOP)
        else:
            launcher.send_signal(signal.SIGTERM)
        code = launcher.wait(60)
    last = host.curve()[-1][1]

    assert code == (0 if order == "STOP" else 143)
    assert [saved.step for saved in host.checkpoints] == ([] if order == "STOP" else [last])
    assert host.finished == []
    assert "Traceback" not in (tmp_path / "pod" / "log-pod-1.txt").read_text()
