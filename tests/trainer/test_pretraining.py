"""Continued pretraining on raw text: every token is learnt, across texts, and perplexity is told before and after."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from finetuneflow.training.v1 import config_pb2, run_pb2
from services.common.chat.encode import Encoder
from services.common.chat.rows import TRAIN, Row
from services.trainer.model import chat_of
from tests.fakes.tiny_model import ENGLISH
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, run_here, train_spec, write_dataset


def texts(train: int = 24, held_out: int = 4) -> list[dict[str, Any]]:
    """Lines of a dataset of raw text."""
    return [
        {
            "id": f"e{n:02}",
            "split": split,
            "messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ENGLISH[n % len(ENGLISH)]}],
            "raw": True,
            "source": {},
        }
        for n, split in enumerate(["TRAIN"] * train + ["EVAL"] * held_out)
    ]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[WorkerHost]:
    """A run, uninterrupted."""
    folder = tmp_path_factory.mktemp("pretrain")
    dataset = write_dataset(folder / "dataset.jsonl", texts())
    spec = train_spec(dataset, model, config(objective=config_pb2.OBJECTIVE_PRETRAIN, max_length=64))
    with WorkerHost(folder / "objects", spec) as host:
        assert run_here(host, folder / "work") == 0
        yield host


def test_every_token_is_learnt_in_sequences_that_are_full(model: Path) -> None:
    """Texts follow each other with an end token behind each; only the last sequence is shorter."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = [
        Row(str(n), TRAIN, messages=({"role": "assistant", "content": text},), raw=True)
        for n, text in enumerate(ENGLISH)
    ]
    blocks = Encoder(chat_of(tokenizer), rows, 32, assistant_only=False).encode_all(rows)
    ids = [token for block in blocks for token in block.input_ids]

    assert tokenizer.decode(ids) == "".join(f"{text}<|im_end|>" for text in ENGLISH)
    assert {len(block.input_ids) for block in blocks[:-1]} == {32}
    assert all(block.labels[1:] == block.input_ids[1:] for block in blocks)


def test_perplexity_falls_on_texts_held_out(done: WorkerHost) -> None:
    """They are told before and after, and nothing is asked of the models, for there is nothing to answer."""
    result = run_pb2.RunResult()
    assert done.finished[-1].result.Unpack(result)
    score = result.evaluation.generalise

    assert score.examples > 0
    assert score.tuned_perplexity < score.base_perplexity
    assert score.answers == 0
    assert result.supervised_tokens > 0.9 * result.tokens
    assert "Continued pretraining, LoRA" in done.artifact("report.md").read_text()


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(done: WorkerHost, tmp_path: Path) -> None:
    """From the checkpoint of step 3 to the same bytes."""
    objects = tmp_path / "objects"
    shutil.copytree(done.folder, objects)
    with WorkerHost(objects, done.spec) as host:
        host.pods.append("pod-0")
        host.checkpoints = [c for c in done.checkpoints if c.step <= 3]
        code = run_here(host, tmp_path / "work", pod="pod-1")

    assert code == 0
    assert [p[1:] for p in host.curve()] == [p[1:] for p in done.curve()][3:]
    assert (
        host.artifact("adapter_model.safetensors").read_bytes()
        == done.artifact("adapter_model.safetensors").read_bytes()
    )
