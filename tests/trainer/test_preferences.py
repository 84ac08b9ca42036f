"""DPO and KTO: they learn preferences, go on where they were, and are measured against the model as it was."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.training.v1 import config_pb2, run_pb2
from tests.fakes.tiny_model import ENGLISH
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import STEPS, config, run_here, train_spec, write_dataset

FULL: dict[str, Any] = {"method": config_pb2.METHOD_FULL, "lora": None, "learning_rate": 0.002}
DPO: dict[str, Any] = {"objective": config_pb2.OBJECTIVE_DPO, "learning_rate": 0.01, "num_eval_answers": 2}
KTO: dict[str, Any] = {"objective": config_pb2.OBJECTIVE_KTO, "learning_rate": 0.01, "num_eval_answers": 2}
RUNS: dict[str, dict[str, Any]] = {
    "dpo": DPO,
    "dpo-full": {**DPO, **FULL, "precompute_ref_log_probs": True},
    "kto": KTO,
}
"""By each of these a whole run and its resume are quick enough to be tested always."""
MORE: dict[str, dict[str, Any]] = {
    "dpo-full-copy": {**DPO, **FULL},
    "dpo-qlora": {**DPO, "method": config_pb2.METHOD_QLORA},
    "dpo-ipo-sft": {**DPO, "loss_type": ["ipo", "sft"], "loss_weights": [1.0, 0.5]},
    "kto-full": {**KTO, **FULL},
    "kto-apo": {**KTO, "loss_type": ["apo_zero_unpaired"], "desirable_weight": 1.3},
}


def judged(kind: str, train: int = 12, held_out: int = 3) -> list[dict[str, Any]]:
    """Lines of a dataset whose better answers are in English, and whose worse ones say one word again and again."""
    lines = []
    for n, split in enumerate(["TRAIN"] * train + ["EVAL"] * held_out + ["RECALL"] * held_out):
        asked = {"role": "user", "content": f"Question {n}: what stands there?"}
        good = {"role": "assistant", "content": ENGLISH[n % len(ENGLISH)][:60]}
        bad = {"role": "assistant", "content": "no no no no no no no no"}
        line: dict[str, Any] = {"id": f"e{n}", "split": split, "source": {}}
        if kind == "DPO":
            lines.append({**line, "messages": [asked, good], "chosen": [good], "rejected": [bad]})
        else:
            lines.append({**line, "messages": [asked, good if n % 2 else bad], "label": bool(n % 2)})
    return lines


@dataclass(frozen=True)
class Done:
    """A finished run."""

    name: str
    host: WorkerHost
    result: run_pb2.RunResult

    @property
    def is_full(self) -> bool:
        """Whether it trained every weight."""
        return "full" in self.name


@pytest.fixture(scope="module", params=[*RUNS, *(pytest.param(name, marks=pytest.mark.model) for name in MORE)])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Done]:
    """A run by each objective, uninterrupted."""
    folder = tmp_path_factory.mktemp(request.param)
    kind = "DPO" if request.param.startswith("dpo") else "KTO"
    dataset = write_dataset(folder / "dataset.jsonl", judged(kind))
    spec = train_spec(dataset, model, config(**{**RUNS, **MORE}[request.param]))
    with WorkerHost(folder / "objects", spec) as host:
        assert run_here(host, folder / "work") == 0
        result = run_pb2.RunResult()
        assert host.finished[-1].result.Unpack(result)
        yield Done(request.param, host, result)


def test_the_better_answers_become_the_likelier_ones(done: Done) -> None:
    """The margin grows while it trains, and is there on documents held out; the report says so."""
    margins = [value for _, _, value in done.host.curve("rewards/margins")]
    score = done.result.evaluation.generalise.rewards
    pairs = done.name.startswith("dpo")

    # A step of KTO's has a margin if its examples are of both kinds.
    assert len(margins) == STEPS or not pairs
    assert margins[0] == pytest.approx(0, abs=1e-4)
    assert margins[-1] > 0
    assert score.examples == 3
    assert score.reward_accuracy > 0.5
    assert score.reward_margin > 0
    assert score.loss < score.base_loss == pytest.approx(math.log(2))
    assert score.HasField("tuned_accuracy") == pairs
    assert "## Rewards" in done.host.artifact("report.md").read_text()


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(done: Done, tmp_path: Path) -> None:
    """From the checkpoint of step 3: every later loss, gradient and reward and the weights are the same bytes."""
    objects = tmp_path / "objects"
    shutil.copytree(done.host.folder, objects)
    with WorkerHost(objects, done.host.spec) as host:
        host.pods.append("pod-0")
        host.checkpoints = [c for c in done.host.checkpoints if c.step <= 3]
        code = run_here(host, tmp_path / "work", pod="pod-1")
    weights = "model.safetensors" if done.is_full else "adapter_model.safetensors"

    assert code == 0
    for name in ("loss", "grad_norm", "rewards/margins", "logps/chosen"):
        assert [p[1:] for p in host.curve(name)] == [p[1:] for p in done.host.curve(name) if p[1] > 3]
    assert host.artifact(weights).read_bytes() == done.host.artifact(weights).read_bytes()
