"""LLM endpoints in a cluster: keys of the server's own, and a list of URLs."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes.datasets import dataset_service, endpoint, generated
from tests.fakes.llm_server import llm
from tests.fakes.running import refusal

KEY, NEWER = "sk-very-secret-0123456789", "sk-rotated-secret-0123456789"
INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A mounted folder with one key."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "cloud").write_text(KEY + "\n")
    return folder


async def test_a_named_key_is_sent_and_shown_by_name_alone(tmp_path: Path, keys: Path) -> None:
    """Also after it was replaced in its file, without a new endpoint."""
    async with llm() as server, dataset_service(tmp_path / "s", llm_keys_dir=keys) as (stub, _):
        made = await stub.CreateLlmEndpoint(endpoint(server, api_key_secret="cloud"))
        await generated(stub)
        before = {r.headers["authorization"] for r in server.requests}
        server.requests.clear()
        (tmp_path / "new").write_text(NEWER)
        os.replace(tmp_path / "new", keys / "cloud")
        await generated(stub, "e")
        holding = [p for p in (tmp_path / "s").rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]

        assert (made.api_key_secret, made.has_api_key) == ("cloud", True)
        assert before == {f"Bearer {KEY}"}
        assert {r.headers["authorization"] for r in server.requests} == {f"Bearer {NEWER}"}
        assert holding == []


async def test_a_key_that_was_taken_away_ends_generation_in_words(tmp_path: Path, keys: Path) -> None:
    """With its name and the remedy."""
    async with llm() as server, dataset_service(tmp_path / "s", llm_keys_dir=keys) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, api_key_secret="cloud"))
        (keys / "cloud").unlink()
        failed = await generated(stub)

        assert not server.requests
        assert '"cloud" is not among this server\'s keys any more' in failed.work.error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": KEY},
        {"api_key": KEY, "api_key_secret": "cloud"},
        {"api_key_secret": "nothing"},
        {"api_key_secret": "../keys/cloud"},
        {"api_key_secret": "..data"},
        {"api_key_secret": "."},
    ],
)
async def test_where_keys_are_mounted_they_come_no_other_way(
    tmp_path: Path, keys: Path, fields: dict[str, str]
) -> None:
    """A key in a call would lie in one replica's folder; a name that is a path reads no other file."""
    async with llm() as server, dataset_service(tmp_path / "s", llm_keys_dir=keys) as (stub, _):
        assert await refusal(stub.CreateLlmEndpoint(endpoint(server, **fields))) == INVALID


async def test_a_key_in_a_call_is_answered_with_where_keys_are_kept(tmp_path: Path, keys: Path) -> None:
    """By the variable, and by the chart's value for it."""
    async with llm() as server, dataset_service(tmp_path / "s", llm_keys_dir=keys) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError, match=r"FTF_LLM_KEYS_DIR; llm.existingSecret of the chart"):
            await stub.CreateLlmEndpoint(endpoint(server, api_key=KEY))


async def test_without_mounted_keys_none_can_be_named(tmp_path: Path) -> None:
    """The key itself is asked for."""
    async with llm() as server, dataset_service(tmp_path) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError, match="Give the key itself"):
            await stub.CreateLlmEndpoint(endpoint(server, api_key_secret="cloud"))


async def test_only_urls_of_the_list_are_taken_and_used(tmp_path: Path) -> None:
    """A list that became shorter ends what it no longer allows, before a call is sent."""
    refused = (grpc.StatusCode.INVALID_ARGUMENT, "LLM_NOT_ALLOWED")
    async with llm() as server:
        async with dataset_service(tmp_path, llm_allow=(server.url,)) as (stub, _):
            elsewhere = server.url.replace("127.0.0.1", "localhost")
            taken = await refusal(stub.CreateLlmEndpoint(endpoint(server, base_url=elsewhere)))
            await stub.CreateLlmEndpoint(endpoint(server))
            done = await generated(stub)
        server.requests.clear()
        async with dataset_service(tmp_path, llm_allow=("https://other.example",)) as (stub, _):
            failed = await generated(stub, "e")
            preview = await refusal(stub.PreviewExamples(pb.PreviewExamplesRequest(parent="projects/p", calls=1)))

        assert taken == refused
        assert done.work.error.code == 0
        assert failed.work.error.details[0].type_url.endswith("ErrorInfo")
        assert "is not a URL that this server may call" in failed.work.error.message
        assert preview == (grpc.StatusCode.FAILED_PRECONDITION, "LLM_NOT_ALLOWED")
        assert not server.requests


async def test_a_key_that_lies_elsewhere_is_missed_in_words(tmp_path: Path) -> None:
    """Without it the LLM would refuse, and nobody would know why."""
    async with llm() as server, dataset_service(tmp_path) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, api_key=KEY))
        for path in (tmp_path / "secrets").glob("llm-*"):
            path.unlink()
        failed = await generated(stub)

        assert not server.requests
        assert "is not on this machine" in failed.work.error.message
