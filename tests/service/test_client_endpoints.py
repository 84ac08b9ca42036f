"""What `ftf llm create` says about the server at the address, against the real dataset service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetuneflow_client import FineTuneFlow
from finetuneflow_client.errors import FtfError
from tests.fakes.commands import Client
from tests.fakes.datasets import dataset_service
from tests.fakes.llm_server import MODEL, llm
from tests.fakes.running import TOKEN


async def test_an_endpoint_where_nobody_answers_is_made_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with the remedy: its server may be started later. Of one that answers it is said what it has."""
    async with llm() as teacher, dataset_service(tmp_path / "state") as (_, served):
        ftf = Client(tmp_path, served.address, capsys)
        create = f"llm create --llm-model {MODEL} --url"
        away = await ftf.told(*f"{create} http://127.0.0.1:9/v1 away --json".split())
        there = await ftf.told(*f"{create} {teacher.url} there".split())

    assert json.loads(away[0])["name"] == "llmEndpoints/away"
    assert "warning: nothing can be asked at http://127.0.0.1:9/v1: No answer" in away[1]
    assert "`ftf doctor`; if the address is wrong: `ftf llm update away --url URL`" in away[1]
    assert there == ("llmEndpoints/there\n", f"{teacher.url}: it answers, and has {MODEL}\n")


async def test_what_is_changed_of_an_endpoint_is_changed_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in the environment is not meant; without anything to change it says so."""
    monkeypatch.setenv("FTF_LLM_API_KEY", "not-meant")
    (tmp_path / "key.txt").write_text("sk-new\n")
    async with llm() as teacher, dataset_service(tmp_path / "state") as (_, served):
        ftf = Client(tmp_path, served.address, capsys)
        await ftf.told(*f"llm create --llm-model {MODEL} --url http://127.0.0.1:9/v1 a --prompt-price 2".split())
        moved = await ftf.told(*f"llm update a --url {teacher.url} --no-key --adaptive".split())
        keyed = json.loads((await ftf.told(*f"llm update a --api-key-file {tmp_path}/key.txt --json".split()))[0])
        with pytest.raises(FtfError, match="nothing to change was given"):
            await ftf.told("llm", "update", "a")

    assert moved == ("llmEndpoints/a\n", f"{teacher.url}: it answers, and has {MODEL}\n")
    assert (keyed["base_url"], keyed["adaptive"], keyed["prompt_price"]) == (teacher.url, True, 2)
    assert keyed["has_api_key"] is True


async def test_an_endpoint_is_changed_by_the_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is given changes, a value of nothing too; what is refused says so."""
    async with dataset_service(tmp_path / "state") as (_, served):
        ftf = Client(tmp_path, served.address, capsys)
        await ftf.told(
            *f"llm create a --adaptive --prompt-price 2 --llm-model {MODEL} --url http://127.0.0.1:9/v1".split()
        )
        async with FineTuneFlow.connect(f"http://{served.address}", TOKEN) as flow:
            llm = await flow.llms.get("a")
            changed = await llm.update(adaptive=False, prompt_price=0, completion_price=1.5, api_key="sk-1")
            with pytest.raises(FtfError) as refused:
                await changed.update(max_concurrency=257)

    assert (changed.message.adaptive, changed.message.prompt_price, changed.message.completion_price) == (False, 0, 1.5)
    assert changed.message.has_api_key
    assert refused.value.code == "INVALID_ARGUMENT"
