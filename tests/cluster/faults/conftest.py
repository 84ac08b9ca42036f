"""A release for faults: the real services, and a small stand-in for the trainer that speaks the worker contract."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.cluster.bed.cluster import Cluster
    from tests.cluster.faults.faulty import Faulty


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def faulty(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Faulty]:
    """The release, with a dataset and a model ready to train on."""
    from tests.cluster.bed.cluster import Bed
    from tests.cluster.faults.faulty import Faulty
    from tests.cluster.release.install import MODELS, installed
    from tests.cluster.release.seed import seed
    from tests.fakes.tiny_model import tiny_model

    folder = tmp_path_factory.mktemp("faults")
    tiny_model(folder / "models" / "tiny")
    # Below the models, whose volume pods see; a folder of /tmp is hidden by their own.
    plans = folder / "models" / "plans"
    plans.mkdir()
    trainer = [sys.executable, "-m", "tests.fakes.trainer_program"]
    env = {"FAKE_TRAINER_PLAN": f"{MODELS}/plans", "FAKE_TRAINER_PATIENCE": "120"}
    async with Bed(cluster) as bed, installed(bed, folder, folder / "models", trainer, env) as release:
        await seed(release, Path(__file__).parents[3] / "samples" / "documents" / "safety-rules.md")
        yield Faulty(release, plans)
