"""What `ftf llm create` says about the server at the address, against the real dataset service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.commands import Client
from tests.fakes.datasets import dataset_service
from tests.fakes.llm_server import MODEL, llm


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
    assert "`ftf doctor`; if the address is wrong: `ftf llm delete away`, then create it again" in away[1]
    assert there == ("llmEndpoints/there\n", f"{teacher.url}: it answers, and has {MODEL}\n")
