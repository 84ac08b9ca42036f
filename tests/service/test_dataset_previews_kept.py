"""What is kept of a preview where its endpoint is deleted meanwhile, or the store does not answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from services.common.errors import Unavailable
from services.dataset import compose
from services.dataset.measures import Measures
from tests.fakes.datasets import PROJECT, dataset_service, endpoint
from tests.fakes.ingest import library
from tests.fakes.llm_server import llm

DELETE = pb.DeleteLlmEndpointRequest(name="llmEndpoints/fake")
ASKED = pb.PreviewExamplesRequest(parent=PROJECT, calls=4)


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[None]]) -> None:
    """Let something happen before what a preview took is written."""

    class Late(Measures):
        async def keep(self, *taken: Any) -> None:
            await happens()
            await super().keep(*taken)

    monkeypatch.setattr(compose, "Measures", Late)


@pytest.mark.parametrize("made_anew", [False, True])
async def test_of_an_endpoint_that_is_deleted_during_a_preview_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_anew: bool
) -> None:
    """Nor where one of its name is made before the preview ends; the examples are shown."""

    async def deleted() -> None:
        await stub.DeleteLlmEndpoint(DELETE)
        if made_anew:
            request = endpoint(server)
            request.request_id = "anew"
            await stub.CreateLlmEndpoint(request)

    meanwhile(monkeypatch, deleted)
    async with llm() as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        found = await stub.PreviewExamples(ASKED)
    with closing(sqlite3.connect(tmp_path / "documents" / "dataset.db")) as store:
        kept = store.execute("SELECT body FROM c_preview_usages").fetchall()

    assert len(found.examples) == 4
    assert not kept


async def test_a_store_that_is_away_costs_no_example_of_a_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are paid for; the log says that estimates do not know of them."""

    async def away() -> None:
        raise Unavailable("The document store does not answer. Repeat the call.")

    meanwhile(monkeypatch, away)
    async with llm() as server, dataset_service(tmp_path, server, library(4)) as (stub, _):
        found = await stub.PreviewExamples(ASKED)

    assert (len(found.examples), found.usage.calls) == (4, 4)
    assert "not kept for estimates: The document store does not answer" in caplog.text
