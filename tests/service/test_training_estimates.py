"""A run carries what it was expected to take, and tells what it took, over real gRPC."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc

from services.common.objects.folder import FolderObjects
from tests.fakes.running import refusal
from tests.fakes.upstream import usual
from tests.service.test_training import ended, request, training

ROWS = [
    {"id": str(n), "split": "TRAIN", "messages": [{"role": "user", "content": "x" * n}, {"role": "assistant"}]}
    for n in (100, 250)
]


async def test_a_run_is_estimated_from_its_datasets_file(tmp_path: Path) -> None:
    """Before it starts, and in a dry run too; a line that is no conversation is left out."""
    upstream = usual()
    version = upstream.datasets["projects/p/datasets/d"].versions[0]
    version.train_examples, version.eval_examples, version.recall_examples = 2, 3, 4
    async with training(tmp_path, upstream, steps=1) as (stub, _):
        data = "\n".join([*(json.dumps(row) for row in ROWS), '{"prompt": []}', ""])
        await FolderObjects(tmp_path / "objects").put(version.artifact.key, data.encode())
        wanted = request(price_per_hour=2.5)
        wanted.validate_only = True
        run = await stub.CreateRun(wanted)
        negative = await refusal(stub.CreateRun(request(price_per_hour=-1)))

    (asked, *_) = upstream.asked
    assert list(asked.example_characters) == [180, 330]
    assert (asked.train_examples, asked.held_out_examples, asked.price_per_hour) == (2, 7, 2.5)
    assert asked.config.max_length == 512
    assert run.estimate.training_memory_bytes.likely == 8e9
    assert (run.estimate.note, run.price_per_hour) == ("From a test.", 2.5)
    assert negative[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_run_that_succeeded_tells_what_it_took(tmp_path: Path) -> None:
    """Its measurements go to where estimates are made, with the estimate that they belong to."""
    upstream = usual()
    async with training(tmp_path, upstream, steps=1) as (stub, _), asyncio.timeout(30):
        await stub.CreateRun(request())
        run, _ = await ended(stub)
        await upstream.heard.wait()

    (told,) = upstream.told
    assert (told.run, told.uid, told.device_name) == (run.name, run.meta.uid, "Some CPU")
    assert (told.training_peak_memory_bytes, told.train_seconds) == (5 * 10**9, 7)
    assert told.estimate == run.estimate
