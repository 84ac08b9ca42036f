"""Changes of LLM endpoints, while nothing, or something, asks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import llm_endpoint_pb2
from tests.fakes import llm_server as fake
from tests.fakes.datasets import NAME, dataset_service, ended, endpoint, generated, state, until, wanted
from tests.fakes.llm_server import llm
from tests.fakes.running import refusal

OLD, NEW = "sk-old-0123456789", "sk-new-0123456789"
INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
FAKE = "llmEndpoints/fake"


def change(*mask: str, name: str = FAKE, api_key: str = "", etag: str = "", **fields: Any) -> Any:
    """A request that changes an endpoint."""
    changed = llm_endpoint_pb2.LlmEndpoint(name=name, **fields)
    if etag:
        changed.meta.etag = etag
    return pb.UpdateLlmEndpointRequest(llm_endpoint=changed, update_mask=FieldMask(paths=mask), api_key=api_key)


def only(key: str) -> fake.Script:
    """The example for whoever has the key, 401 for others."""
    return lambda r: fake.good(r) if r.headers.get("authorization") == f"Bearer {key}" else fake.status(401)(r)


async def test_a_dataset_whose_key_ran_out_goes_on_with_a_new_one(tmp_path: Path) -> None:
    """It pauses, and nothing that was answered is asked again; the old key is nowhere any more."""
    async with llm(fake.first(fake.good, fake.good, then=only(NEW))) as server, dataset_service(tmp_path) as (stub, _):
        made = await stub.CreateLlmEndpoint(endpoint(server, api_key=OLD, max_concurrency=1))
        paused = await generated(stub)
        changed = await stub.UpdateLlmEndpoint(change(api_key=NEW))
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name=NAME))
        done = await ended(stub)
        prompts = [r.asked for r in server.requests if r.headers["authorization"] == f"Bearer {NEW}"]
        holding = [p for p in tmp_path.rglob("*") if p.is_file() and OLD.encode() in p.read_bytes()]

    assert (state(paused), state(done)) == ("PAUSED", "SUCCEEDED")
    assert (changed.has_api_key, changed.meta.etag != made.meta.etag) == (True, True)
    assert len(prompts) == len(set(prompts)) == done.usage.calls - 2
    assert holding == []


async def test_a_dataset_goes_on_at_the_new_address_with_as_many_calls_as_are_left(tmp_path: Path) -> None:
    """It is not interrupted; what the old server had in hand is asked of the new one. More calls are the next one's."""
    async with llm(fake.hang(60)) as old, llm(fake.hang(0.3)) as new, dataset_service(tmp_path) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(old, max_concurrency=4))
        await stub.CreateDataset(wanted())
        await until(lambda: old.at_once == 4)
        await stub.UpdateLlmEndpoint(change(base_url=new.url, max_concurrency=2))
        done = await ended(stub)
        fewer, calls = new.most_at_once, len(new.requests)
        await stub.UpdateLlmEndpoint(change(max_concurrency=5))
        after = await generated(stub, "e")

    assert (state(done), state(after)) == ("SUCCEEDED", "SUCCEEDED")
    assert (old.most_at_once, fewer, new.most_at_once) == (4, 2, 5)
    assert calls == done.usage.calls


async def test_what_the_mask_names_changes_and_nothing_else(tmp_path: Path) -> None:
    """Without a mask what is set; with one a value may be taken back, and labels are replaced."""
    async with llm() as server, dataset_service(tmp_path) as (stub, _):
        request = endpoint(server, adaptive=True, prompt_price=2.0, display_name="a")
        request.llm_endpoint.meta.labels.update({"team": "x", "cost": "low"})
        made = await stub.CreateLlmEndpoint(request)
        priced = await stub.UpdateLlmEndpoint(change(completion_price=3.0, model=made.model))
        labelled = change("meta.labels", "adaptive", "max_concurrency", "prompt_price", prompt_price=0.5)
        labelled.llm_endpoint.meta.labels.update({"team": "y"})
        changed = await stub.UpdateLlmEndpoint(labelled)
        again = await stub.UpdateLlmEndpoint(labelled)
        bare = await stub.UpdateLlmEndpoint(change("meta.labels"))

    assert (priced.prompt_price, priced.completion_price, priced.adaptive) == (2.0, 3.0, True)
    assert (changed.adaptive, changed.max_concurrency, changed.prompt_price) == (False, 4, 0.5)
    assert dict(changed.meta.labels) == {"team": "y"}
    assert (changed.completion_price, changed.display_name, changed.model) == (3.0, "a", made.model)
    assert again == changed
    assert dict(bare.meta.labels) == {}


async def test_the_usual_number_of_calls_follows_adaptive(tmp_path: Path) -> None:
    """One that was chosen stays."""
    async with llm() as server, dataset_service(tmp_path) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server, max_concurrency=0))
        found = [
            (await stub.UpdateLlmEndpoint(change("adaptive", adaptive=on))).max_concurrency for on in (True, False)
        ]
        await stub.UpdateLlmEndpoint(change(max_concurrency=9))
        chosen = await stub.UpdateLlmEndpoint(change(adaptive=True))

    assert found == [256, 4]
    assert chosen.max_concurrency == 9


async def test_a_move_with_another_key_is_seen_by_a_replica_that_has_called(tmp_path: Path) -> None:
    """With its next preview; neither server is given the other's key, and the old key is nowhere any more."""
    async with (
        llm() as old,
        llm() as new,
        dataset_service(tmp_path) as (stub, _),
        dataset_service(tmp_path) as (other, _),
    ):
        await stub.CreateLlmEndpoint(endpoint(old, api_key=OLD))
        preview = pb.PreviewExamplesRequest(parent="projects/p", calls=1)
        await other.PreviewExamples(preview)
        await stub.UpdateLlmEndpoint(change(base_url=new.url, api_key=NEW))
        await other.PreviewExamples(preview)
        sent = [{r.headers["authorization"] for r in server.requests} for server in (old, new)]
        holding = [p for p in tmp_path.rglob("*") if p.is_file() and OLD.encode() in p.read_bytes()]

    assert sent == [{f"Bearer {OLD}"}, {f"Bearer {NEW}"}]
    assert holding == []


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        (change(model="other"), INVALID),
        (change("model", model="other"), INVALID),
        (change("name"), INVALID),
        (change("has_api_key"), INVALID),
        (change("base_url"), INVALID),
        (change(base_url="http://user:secret@example.com/v1"), INVALID),
        (change(max_concurrency=257), INVALID),
        (change(base_url="http://127.0.0.1:9/v1"), INVALID),
        (change(base_url="https://example.com/v1", prompt_price=2.0), INVALID),
        (change(api_key="two\nlines"), INVALID),
        (change(api_key_secret="cloud"), INVALID),
        (change(etag="old", prompt_price=1.0), (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")),
        (change(name="llmEndpoints/other", prompt_price=1.0), (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")),
        (change(name="projects/p"), INVALID),
    ],
)
async def test_what_cannot_be_changes_nothing(tmp_path: Path, request_: Any, refused: object) -> None:
    """Neither a field nor the key."""
    async with llm(only(OLD)) as server, dataset_service(tmp_path) as (stub, _):
        made = await stub.CreateLlmEndpoint(endpoint(server, api_key=OLD))
        if not request_.llm_endpoint.api_key_secret and not request_.llm_endpoint.base_url:
            request_.api_key = request_.api_key or NEW

        assert await refusal(stub.UpdateLlmEndpoint(request_)) == refused
        assert await stub.GetLlmEndpoint(pb.GetLlmEndpointRequest(name=FAKE)) == made
        assert state(await generated(stub)) == "SUCCEEDED"


async def test_a_key_of_the_servers_own_is_named_and_taken_back(tmp_path: Path) -> None:
    """Without one nothing is sent."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "cloud").write_text(OLD)
    async with llm() as server, dataset_service(tmp_path / "s", llm_keys_dir=keys) as (stub, _):
        await stub.CreateLlmEndpoint(endpoint(server))
        named = await stub.UpdateLlmEndpoint(change(api_key_secret="cloud"))
        await generated(stub)
        sent = {r.headers.get("authorization") for r in server.requests}
        bare = await stub.UpdateLlmEndpoint(change("api_key_secret"))
        server.requests.clear()
        await generated(stub, "e")

    assert (named.api_key_secret, named.has_api_key) == ("cloud", True)
    assert sent == {f"Bearer {OLD}"}
    assert (bare.api_key_secret, bare.has_api_key) == ("", False)
    assert {r.headers.get("authorization") for r in server.requests} == {None}
