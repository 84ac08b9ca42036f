"""What an import froze is what the trainer reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes.datasets import NAME, dataset_service
from tests.fakes.transfers import imported
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, run_here, train_spec

FILES = {
    "qa.csv": b"question,answer,part\n"
    + b"".join(b'"What, and\nwhere is %d?",It is %d.,train\n' % (n, n) for n in range(8)),
    "chats.jsonl": b"".join(
        b'{"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Is it %d?"}, '
        b'{"role": "assistant", "content": "Which?"}, {"role": "user", "content": "The first."}, '
        b'{"role": "assistant", "content": "It is %d."}], "part": "train"}\n' % (n, n)
        for n in range(8)
    ),
}  # fmt: skip


async def frozen(folder: Path, filename: str) -> bytes:
    """Import a file and return the bytes of its version."""
    mapping = {"prompt": "question", "response": "answer"} if filename.endswith(".csv") else {}
    async with dataset_service(folder) as (stub, _):
        await imported(stub, FILES[filename], filename=filename, mapping=mapping, split_column="part")
        return b"".join([part.data async for part in stub.DownloadDataset(pb.DownloadDatasetRequest(name=NAME))])


@pytest.mark.parametrize("filename", FILES)
def test_a_run_on_an_imported_dataset_trains(tmp_path: Path, model: Path, filename: str) -> None:
    """A file of one's own becomes an adapter without another step in between: two steps here, each with a loss."""
    dataset = tmp_path / "dataset.jsonl"
    dataset.write_bytes(asyncio.run(frozen(tmp_path / "service", filename)))
    spec = train_spec(dataset, model, config(max_steps=2, save_steps=2))
    with WorkerHost(tmp_path / "objects", spec) as host:
        assert run_here(host, tmp_path / "work") == 0

    assert [step for _, step, _ in host.curve()] == [1, 2]
    assert all(0 < loss < 20 for _, _, loss in host.curve())
    assert "adapter_model.safetensors" in {a.filename for a in host.finished[-1].artifacts}
