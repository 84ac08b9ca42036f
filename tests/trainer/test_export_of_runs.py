"""Exports of what runs leave that are not SFT with an adapter: a whole model, or an adapter of another objective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import config_pb2
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, export_spec, rows, run_here, train_spec, write_dataset
from tests.trainer.test_preferences import judged
from tests.trainer.test_pretraining import texts

Lines = list[dict[str, Any]]
RUNS: dict[str, tuple[Callable[[], Lines], dict[str, Any]]] = {
    "full": (rows, {"method": config_pb2.METHOD_FULL, "lora": None, "learning_rate": 0.005}),
    "dpo": (lambda: judged("DPO"), {"objective": config_pb2.OBJECTIVE_DPO}),
    "kto": (lambda: judged("KTO"), {"objective": config_pb2.OBJECTIVE_KTO}),
    "pretrain": (texts, {"objective": config_pb2.OBJECTIVE_PRETRAIN, "max_length": 64}),
}
EVERY = ["full", "dpo", *(pytest.param(name, marks=pytest.mark.model) for name in ("kto", "pretrain"))]


@pytest.mark.parametrize("name", EVERY)
def test_what_a_run_leaves_becomes_a_proven_gguf_file(name: str, tmp_path: Path, model: Path) -> None:
    """Merged and proven on the way, then compared by llama.cpp with the tuned model."""
    make, chosen = RUNS[name]
    dataset = write_dataset(tmp_path / "dataset.jsonl", make())
    settings = config(**{"max_steps": 2, "num_eval_answers": 0, **chosen})
    with WorkerHost(tmp_path / "trained", train_spec(dataset, model, settings)) as done:
        assert run_here(done, tmp_path / "run") == 0
    kind = export_pb2.QUANTIZATION_Q8_0
    spec = export_spec(done, model, export_pb2.FORMAT_GGUF, quantization=kind)
    with WorkerHost(tmp_path / "objects", spec, work="projects/p/exports/x") as host:
        code = run_here(host, tmp_path / "work", command="export")
    result = export_pb2.ExportResult()

    assert code == 0
    assert host.finished[-1].result.Unpack(result)
    assert host.artifact("tiny-Q8_0.gguf").stat().st_size > 100_000
    assert result.max_logit_difference <= result.logit_bound
    assert abs(result.gguf.divergence) <= result.gguf.divergence_bound
    assert result.gguf.tokens > 0
