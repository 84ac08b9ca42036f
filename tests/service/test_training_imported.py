"""Runs on datasets that somebody imported, or that are documents' text: two real services, the stand-in trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2_grpc
from finetuneflow.training.v1 import config_pb2
from services.common.runtime import Compose
from services.dataset.compose import compose
from tests.fakes.datasets import generated
from tests.fakes.ingest import library
from tests.fakes.transfers import imported, lines
from tests.fakes.upstream import Upstream, usual
from tests.service.test_training import ended, request, training

ROWS: dict[str, list[dict[str, Any]]] = {
    "SFT": [{"prompt": f"What is {n}?", "completion": f"{n}, a number."} for n in range(12)],
    "DPO": [{"prompt": f"What is {n}?", "chosen": f"{n}, a number.", "rejected": "No."} for n in range(12)],
    "KTO": [{"prompt": f"What is {n}?", "completion": f"{n}.", "label": n % 2 == 0} for n in range(12)],
}


class Imported(Upstream):
    """The models of a test, and a real dataset service."""

    def composes(self) -> dict[str, Compose]:
        """Return the services."""
        return {**super().composes(), "dataset": compose, "ingest": library(1).compose}


@pytest.mark.parametrize("objective", ROWS)
async def test_a_run_takes_an_imported_dataset_by_the_hash_of_its_version(tmp_path: Path, objective: str) -> None:
    """It follows the kind of the rows, and trains to its end."""
    async with (
        training(tmp_path, Imported(models=usual().models), steps=2) as (stub, served),
        served.channel() as channel,
    ):
        datasets = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        dataset = await imported(datasets, lines(ROWS[objective]))
        created = await stub.CreateRun(request())
        run, _ = await ended(stub)

    assert created.dataset_sha256 == dataset.versions[0].artifact.sha256
    assert created.config.objective == config_pb2.Objective.Value(f"OBJECTIVE_{objective}")
    assert run.work.state == work_pb2.WORK_STATE_SUCCEEDED


async def test_a_run_takes_the_documents_own_text_for_continued_pretraining(tmp_path: Path) -> None:
    """A dataset that no LLM had a part in: its kind says what the run is to do."""
    async with (
        training(tmp_path, Imported(models=usual().models), steps=2) as (stub, served),
        served.channel() as channel,
    ):
        datasets = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        dataset = await generated(datasets, task_type=dataset_pb2.TASK_TYPE_TEXT, eval_fraction=0)
        created = await stub.CreateRun(request())
        run, _ = await ended(stub)

    assert created.dataset_sha256 == dataset.versions[0].artifact.sha256
    assert created.config.objective == config_pb2.OBJECTIVE_PRETRAIN
    assert run.work.state == work_pb2.WORK_STATE_SUCCEEDED
