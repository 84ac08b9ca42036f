"""Statistics with tokens, and the report with its plots, over real gRPC."""

from __future__ import annotations

import io
from pathlib import Path

import grpc
import pytest
import tiktoken
from PIL import Image

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import statistics_pb2
from services.dataset import reporting
from services.dataset.core.ledger import OF_EXAMPLES, Row, Step
from tests.fakes.datasets import NAME, dataset_service, examples, generated
from tests.fakes.llm_server import llm
from tests.service.test_dataset_ledger import mixed


async def test_tokens_are_counted_as_cl100k_base_does(tmp_path: Path) -> None:
    """Each example's system prompt, prompt and response; what is longer than max_length is told."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        await generated(stub, system_prompt="Be brief.")
        plain = await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME))
        found = await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME, max_length=20))
        good = await examples(stub)
        with pytest.raises(grpc.aio.AioRpcError, match="use 1 to"):
            await stub.GetDatasetStatistics(pb.GetDatasetStatisticsRequest(name=NAME, max_length=-1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "dataset" / "tiktoken"))
        encoding = tiktoken.get_encoding("cl100k_base")
    expected = sorted(len(encoding.encode(f"Be brief.\n{e.prompt}\n{e.response}")) for e in good)
    assert not plain.HasField("tokens")
    assert (found.tokens.tokenizer, found.tokens.total) == ("cl100k_base", sum(expected))
    assert (found.tokens.min, found.tokens.max) == (expected[0], expected[-1])
    assert found.tokens.truncated == sum(n > 20 for n in expected)
    assert sum(c.count for c in found.tokens.histogram) == len(good)
    assert [t.count for t in found.types] == [len(good)]


async def test_a_report_is_markdown_with_its_plots(tmp_path: Path) -> None:
    """Ledger, lengths, balance, drops and versions; each picture that it names comes with it."""
    async with llm(mixed) as server, dataset_service(tmp_path, server) as (stub, _):
        dataset = await generated(stub)
        files: dict[str, bytes] = {}
        request = statistics_pb2.MakeDatasetReportRequest(name=NAME, max_length=512)
        async for part in stub.MakeDatasetReport(request):
            files[part.filename] = files.get(part.filename, b"") + part.data

    text = files.pop("report.md").decode()
    assert "INVALID_JSON" in text
    assert dataset.versions[0].artifact.sha256 in text
    assert "| split |" in text
    assert sorted(files) == ["documents.png", "drops.png", "ledger.png", "tokens.png"]
    assert all(f"]({name})" in text for name in files)
    for content in files.values():
        with Image.open(io.BytesIO(content)) as image:
            assert image.size[0] == 960


def test_drops_of_every_step_that_is_made_of_examples_are_drawn() -> None:
    """The judge's too."""
    steps = [Step(name, "examples", 3, 2, [Row("WHY", "x")]) for name in ("pages", "calls", *OF_EXAMPLES)]

    assert [behind for _, _, behind in reporting._drops(steps)] == [f"1 at {s.name}" for s in steps[1:]]
