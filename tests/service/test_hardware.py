"""Models over real gRPC: of folders and hubs, recorded, told, listed and forgotten."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import huggingface_hub
import pytest
import pytest_asyncio
from huggingface_hub.utils._http import default_client_factory

from finetuneflow.common.v1 import event_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from services.common.bus import Bus
from services.common.natsserver import NatsServer
from services.common.objects.folder import FolderObjects
from services.common.secretfiles import Secrets
from tests.fakes.hardware import create, hardware
from tests.fakes.hub import COMMIT, TOKEN, FakeHub, HubModel
from tests.fakes.model_folder import PARAMETERS, model_files, write_folder
from tests.fakes.running import refusal
from tests.fakes.tiny_model import tiny_model

INVALID, MISSING, TAKEN = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
)


@pytest_asyncio.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    """The service's stub."""
    async with hardware(tmp_path / "state") as (stub, _):
        yield stub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder."""
    return write_folder(tmp_path / "My Model 1.5", model_files())


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A hub on loopback, reached even where HF_HUB_OFFLINE is set."""
    huggingface_hub.set_client_factory(lambda: httpx2.Client(follow_redirects=True))
    with FakeHub({"acme/tiny": HubModel(model_files()), "acme/gated": HubModel(model_files(), gated=True)}) as hub:
        yield hub
    huggingface_hub.set_client_factory(default_client_factory)


async def until_gone(objects: FolderObjects, key: str) -> None:
    """Wait until there is no such object."""
    async with asyncio.timeout(10):
        while await objects.size(key) is not None:  # noqa: ASYNC110  # a store tells nobody of a deletion
            await asyncio.sleep(0.02)


async def test_a_real_model_is_described_without_loading_it(stub: Any, tmp_path: Path) -> None:
    """As transformers saved it."""
    folder = tiny_model(tmp_path / "tiny")
    model = await stub.CreateModel(create(folder, display_name="Tiny"))

    assert (model.name, model.display_name, model.local_path) == ("models/tiny", "Tiny", str(folder))
    assert (model.architecture, model.parameters, model.dtype) == ("LlamaForCausalLM", 151_872, "float32")
    assert (model.layers, model.hidden_size, model.vocab_size, model.context_length) == (2, 64, 512, 512)
    assert (model.attention_heads, model.key_value_heads, model.intermediate_size) == (4, 2, 160)
    assert (model.license, model.gated, model.has_chat_template) == ("apache-2.0", False, True)
    assert model.meta.creator == "tester"
    assert {file.filename for file in model.files} == {path.name for path in folder.iterdir()}


async def test_the_tokenizer_is_put_where_other_services_read_it(tmp_path: Path, folder: Path) -> None:
    """As an object, for the folder may be on another machine."""
    async with hardware(tmp_path / "state") as (stub, _):
        model = await stub.CreateModel(create(folder))
    content = (folder / "tokenizer.json").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()

    assert model.tokenizer.key == f"models/my-model-1-5/tokenizer/{sha256}.json"
    assert (model.tokenizer.sha256, model.tokenizer.size_bytes) == (sha256, len(content))
    assert await FolderObjects(tmp_path / "state" / "objects").read(model.tokenizer.key) == content


async def test_the_same_source_at_the_same_revision_is_the_same_model(stub: Any, folder: Path) -> None:
    """Whatever the id that is asked for; other files make another model."""
    first = await stub.CreateModel(create(folder))
    again = await stub.CreateModel(create(folder, model_id="another"))
    (folder / "README.md").write_text("# Changed")
    changed = await stub.CreateModel(create(folder))
    listed = await stub.ListModels(pb.ListModelsRequest())

    assert first == again
    assert changed.name == f"models/my-model-1-5-{changed.revision[:8]}"
    assert [model.name for model in listed.models] == [first.name, changed.name]


async def test_many_callers_at_once_make_one_model(stub: Any, folder: Path) -> None:
    """They race for the name, and the losers find the winner's."""
    models = await asyncio.gather(*(stub.CreateModel(create(folder)) for _ in range(8)))

    assert len({model.meta.uid for model in models}) == 1


async def test_a_repeated_request_gets_the_first_answer(stub: Any, folder: Path, tmp_path: Path) -> None:
    """Even if the folder has changed since; another request with its id is refused."""
    first = await stub.CreateModel(create(folder, request_id="once"))
    (folder / "README.md").write_text("# Changed")
    again = await stub.CreateModel(create(folder, request_id="once"))
    other = write_folder(tmp_path / "other", model_files())

    assert first == again
    assert await refusal(stub.CreateModel(create(other, request_id="once"))) == (INVALID, "REQUEST_ID_REUSED")


async def test_an_id_that_another_model_has_is_taken(stub: Any, folder: Path, tmp_path: Path) -> None:
    """The model that has it stays as it is."""
    first = await stub.CreateModel(create(folder, model_id="mine"))
    other = write_folder(tmp_path / "other", model_files())

    assert await refusal(stub.CreateModel(create(other, model_id="mine"))) == (TAKEN, "ALREADY_EXISTS")
    assert await stub.GetModel(pb.GetModelRequest(name="models/mine")) == first


async def test_bad_folders_are_refused_and_nothing_is_kept(stub: Any, tmp_path: Path) -> None:
    """A typed error each; no half-made model appears."""
    pickled = {**model_files(), "pytorch_model.bin": b"\x80"}
    del pickled["model.safetensors"]
    cut = {**model_files(), "model.safetensors": model_files()["model.safetensors"][:-1]}
    cases = [
        (create(write_folder(tmp_path / "pickled", pickled)), INVALID, "PICKLE_WEIGHTS"),
        (create(write_folder(tmp_path / "cut", cut)), INVALID, "MODEL_INVALID"),
        (create(write_folder(tmp_path / "empty", {})), INVALID, "MODEL_INVALID"),
        (create(tmp_path / "nowhere"), MISSING, "MODEL_NOT_FOUND"),
        (create("relative"), INVALID, "INVALID_FIELD"),
        (create(), INVALID, "INVALID_FIELD"),
        (create("/x", model_id="Not An Id"), INVALID, "INVALID_FIELD"),
        (create("/x", display_name="x" * 201), INVALID, "INVALID_FIELD"),
        (create(hub_id="acme/tiny"), grpc.StatusCode.FAILED_PRECONDITION, "HUB_DISABLED"),
    ]
    for request, code, reason in cases:
        assert await refusal(stub.CreateModel(request)) == (code, reason), request

    assert not (await stub.ListModels(pb.ListModelsRequest())).models


async def test_a_deleted_model_is_gone_and_its_files_stay(tmp_path: Path, folder: Path) -> None:
    """Its tokenizer goes with it; the name is free again once it is purged."""
    async with hardware(tmp_path / "state") as (stub, _):
        model = await stub.CreateModel(create(folder))
        stale = pb.DeleteModelRequest(name=model.name, etag="stale")
        assert await refusal(stub.DeleteModel(stale)) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        await stub.DeleteModel(pb.DeleteModelRequest(name=model.name, etag=model.meta.etag))
        gone = await refusal(stub.GetModel(pb.GetModelRequest(name=model.name)))
        objects = FolderObjects(tmp_path / "state" / "objects")
        await until_gone(objects, model.tokenizer.key)
        # The tombstone goes a moment after the object; until then the name is not free.
        async with asyncio.timeout(10):
            while (again := await stub.CreateModel(create(folder))).name != model.name:
                await stub.DeleteModel(pb.DeleteModelRequest(name=again.name))

        assert gone == (MISSING, "NOT_FOUND")
        assert await refusal(stub.DeleteModel(stale)) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert again.meta.uid != model.meta.uid
        assert await objects.size(again.tokenizer.key) is not None
        assert (folder / "model.safetensors").exists()


async def test_models_outlive_the_service(tmp_path: Path, folder: Path) -> None:
    """The next one on the same state knows them."""
    async with hardware(tmp_path / "state") as (stub, _):
        model = await stub.CreateModel(create(folder))
    async with hardware(tmp_path / "state") as (stub, _):
        assert await stub.GetModel(pb.GetModelRequest(name=model.name)) == model


async def test_a_new_model_is_told(tmp_path: Path, folder: Path) -> None:
    """One event, once it is recorded."""
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    bus = await Bus.connect(nats.url)
    async with hardware(tmp_path / "state", nats=nats) as (stub, _), bus.tail("ftf.events.model.ready") as events:
        model = await stub.CreateModel(create(folder))
        async with asyncio.timeout(10):
            event = event_pb2.Event.FromString(await anext(aiter(events)))
    await bus.close()
    await nats.stop()

    assert (event.type, event.resource, event.actor) == ("model.ready", model.name, "tester")


async def test_of_a_hubs_model_a_run_fetches_the_weights(
    tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that this machine's cache does not have yet; they count beside what the run itself takes of the disk."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    async with hardware(tmp_path / "state", allow_hub=True, settings={"hub_endpoint": hub.url}) as (stub, _):
        here = (await stub.CreateModel(create(write_folder(tmp_path / "m", model_files())))).name
        there = (await stub.CreateModel(create(hub_id="acme/tiny"))).name
        local, remote = [(await stub.EstimateRun(pb.EstimateRunRequest(model=name))) for name in (here, there)]

    assert (local.node.fetched_bytes, remote.node.fetched_bytes) == (0, len(model_files()["model.safetensors"]))
    assert local.estimate.disk_bytes == remote.estimate.disk_bytes


async def test_a_hubs_model_is_pinned_to_its_commit(tmp_path: Path, hub: FakeHub) -> None:
    """Once the hub is switched on; the token is a secret of the service."""
    settings = {"hub_endpoint": hub.url}
    async with hardware(tmp_path / "state", allow_hub=True, settings=settings) as (stub, _):
        model = await stub.CreateModel(create(hub_id="acme/tiny"))
        missing = await refusal(stub.CreateModel(create(hub_id="acme/nothing")))
        gated = await refusal(stub.CreateModel(create(hub_id="acme/gated")))
        Secrets(tmp_path / "state" / "secrets").put("hub-token", TOKEN)
        opened = await stub.CreateModel(create(hub_id="acme/gated"))

    assert (model.name, model.hub_id, model.revision) == ("models/tiny", "acme/tiny", COMMIT)
    assert model.parameters == PARAMETERS
    assert missing == (MISSING, "MODEL_NOT_FOUND")
    assert gated == (grpc.StatusCode.PERMISSION_DENIED, "MODEL_GATED")
    assert opened.gated
    assert TOKEN not in str(opened)


async def test_models_are_listed_page_by_page(stub: Any, tmp_path: Path) -> None:
    """Oldest first."""
    for number in range(3):
        files = {**model_files(), "README.md": str(number).encode()}
        await stub.CreateModel(create(write_folder(tmp_path / f"m{number}", files)))
    first = await stub.ListModels(pb.ListModelsRequest(page_size=2))
    second = await stub.ListModels(pb.ListModelsRequest(page_size=2, page_token=first.next_page_token))

    assert [m.name for page in (first, second) for m in page.models] == ["models/m0", "models/m1", "models/m2"]
    assert not second.next_page_token


async def test_no_service_code_here_loads_torch() -> None:
    """Memory at rest is what a laptop can spare."""
    program = (
        "import sys, services.hardware.compose; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()

    assert out.decode().strip() == "[]"
