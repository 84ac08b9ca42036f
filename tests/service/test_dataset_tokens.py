"""Lengths in a base model's own tokens over real gRPC: dataset, hardware and what a tokenizer says by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import dataset_service_pb2_grpc
from finetuneflow.hardware.v1 import hardware_service_pb2_grpc
from services.dataset.compose import compose as dataset_compose
from services.hardware.compose import compose as hardware_compose
from tests.fakes.datasets import NAME, endpoint, examples, generated
from tests.fakes.hardware import create
from tests.fakes.ingest import library, text
from tests.fakes.llm_server import llm
from tests.fakes.model_folder import model_files, write_folder
from tests.fakes.running import serving

TEXTS = [text(number, 6) for number in range(4)]


def bytes_bpe() -> Tokenizer:
    """Train a tokenizer of bytes and their pairs, as most models have, that begins every text with a mark."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64)
    return tokenizer


def unigram() -> Tokenizer:
    """Train a tokenizer of another kind: pieces of words with a mark for the space, letters made small."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(TEXTS, trainers.UnigramTrainer(vocab_size=120, unk_token="?", special_tokens=["?"]))
    return tokenizer


@pytest.mark.parametrize("trained", [bytes_bpe, unigram])
async def test_lengths_are_those_of_the_models_tokenizer(tmp_path: Path, trained: Callable[[], Tokenizer]) -> None:
    """Without its marks, and whatever it is set to cut or to fill up; other models and bad files say what to do."""
    tokenizer = trained()
    files = {**model_files(), "tokenizer.json": tokenizer.to_str().encode()}
    folder = write_folder(tmp_path / "tiny", files)
    composes = {"dataset": dataset_compose, "ingest": library(3).compose, "hardware": hardware_compose}
    async with llm() as server, serving(tmp_path / "state", composes) as served, served.channel() as channel:
        hardware: Any = hardware_service_pb2_grpc.HardwareServiceStub(channel)
        stub: Any = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        model = await hardware.CreateModel(create(folder))
        await stub.CreateLlmEndpoint(endpoint(server))
        await generated(stub, system_prompt="Be brief.")
        request = pb.GetDatasetStatisticsRequest(name=NAME, model=model.name, max_length=24)
        found = (await stub.GetDatasetStatistics(request)).tokens
        again = (await stub.GetDatasetStatistics(request)).tokens
        other = (await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME, count_tokens=True))).tokens
        good = await examples(stub)
        with pytest.raises(grpc.aio.AioRpcError, match="models/none"):
            await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME, model="models/none"))

    tokenizer.no_truncation()
    tokenizer.no_padding()
    said = (f"Be brief.\n{e.prompt}\n{e.response}" for e in good)
    expected = sorted(len(tokenizer.encode(words, add_special_tokens=False)) for words in said)
    assert found.tokenizer == f"{model.name}@{model.revision}"
    assert (found.total, found.min, found.max) == (sum(expected), expected[0], expected[-1])
    assert (found.max_length, found.truncated) == (24, sum(n > 24 for n in expected))
    assert found.truncated_share == pytest.approx(found.truncated / len(expected))
    assert {p.percent: p.tokens for p in found.percentiles}[50] == expected[-(-50 * len(expected) // 100) - 1]
    assert sum(c.count for c in found.histogram) == len(good)
    assert again == found
    assert (other.tokenizer, other.total != found.total) == ("cl100k_base", True)
