"""Models on a hub: what is read of them, and every way it can fail."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory

from services.common.errors import FineTuneFlowError, InvalidArgument, NotFound, NotReady, PermissionDenied, Unavailable
from services.common.hubtoken import read_token_file
from services.hardware.hub import HubSource
from tests.fakes.hub import COMMIT, TOKEN, FakeHub, HubModel
from tests.fakes.model_folder import PARAMETERS, model_files, safetensors, sharded

ORDINARY = "acme/tiny-instruct"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A hub on loopback, reached even where HF_HUB_OFFLINE is set."""
    pickled = {**model_files(), "pytorch_model.bin": b"\x80"}
    del pickled["model.safetensors"]
    models = {
        ORDINARY: HubModel(model_files(), tags=("license:mit", "llama")),
        "acme/parts": HubModel({**sharded(model_files()), "onnx/model.onnx": b"x"}),
        "acme/gated": HubModel(model_files(), gated=True),
        "acme/pickled": HubModel(pickled),
        "acme/cut": HubModel({**model_files(), "model.safetensors": b"\xff" * 40}),
        "acme/down": HubModel({}, broken=503),
    }
    # The library's own client refuses every request where HF_HUB_OFFLINE was set when it was imported.
    huggingface_hub.set_client_factory(lambda: httpx2.Client(follow_redirects=True))
    with FakeHub(models) as hub:
        yield hub
    huggingface_hub.set_client_factory(default_client_factory)


def source(hub: FakeHub, token: str | None = None, allowed: bool = True) -> HubSource:
    """The reader of this hub."""
    return HubSource(allowed, hub.url, lambda: token, timeout=5)


async def refused(source: HubSource, hub_id: str, revision: str = "") -> FineTuneFlowError:
    """The error for a model that must be refused; it ends with a remedy and holds no token."""
    with pytest.raises(FineTuneFlowError) as caught:
        await source.read(hub_id, revision)
    assert caught.value.message.endswith(".")
    assert "hf_" not in caught.value.message
    return caught.value


async def test_a_model_is_pinned_and_described_without_its_weights(hub: FakeHub) -> None:
    """The commit is the hub's; of the weights only the header is asked for."""
    found = await source(hub).read(ORDINARY, "")
    hashes = {file.filename: file.sha256 for file in found.files}

    assert (found.revision, found.parameters, found.dtype) == (COMMIT, PARAMETERS, "bfloat16")
    assert (found.license, found.gated, found.has_chat_template) == ("mit", False, True)
    assert found.tokenizer == model_files()["tokenizer.json"]
    assert len(hashes["model.safetensors"]) == len(hashes["config.json"]) == 64
    assert hashes["README.md"] == ""
    assert all(COMMIT in path for path in hub.asked if "/resolve/" in path)


async def test_weights_in_parts_are_read_by_their_index(hub: FakeHub) -> None:
    """Folders below hold other forms of the model, which are not looked at."""
    found = await source(hub).read("acme/parts", COMMIT)

    assert found.parameters == PARAMETERS
    assert not any("onnx" in file.filename for file in found.files)


async def test_a_gated_model_is_read_with_a_token_that_has_access(hub: FakeHub) -> None:
    """And stays marked as gated."""
    found = await source(hub, TOKEN).read("acme/gated", "")

    assert (found.gated, found.license) == (True, "apache-2.0")


@pytest.mark.parametrize("token", [None, "hf_a-token-without-access"])
async def test_a_gated_model_is_refused_without_access(hub: FakeHub, token: str | None) -> None:
    """With the page where one asks for it."""
    error = await refused(source(hub, token), "acme/gated")

    assert (type(error), error.reason) == (PermissionDenied, "MODEL_GATED")
    assert f"{hub.url}/acme/gated" in error.message


@pytest.mark.parametrize(("hub_id", "revision"), [("acme/nothing", ""), (ORDINARY, "v9")])
async def test_what_the_hub_does_not_have_is_not_found(hub: FakeHub, hub_id: str, revision: str) -> None:
    """The model, or the revision."""
    error = await refused(source(hub), hub_id, revision)

    assert (type(error), error.reason) == (NotFound, "MODEL_NOT_FOUND")


async def test_pickle_weights_are_refused_before_anything_is_read(hub: FakeHub) -> None:
    """The list of files is enough."""
    error = await refused(source(hub), "acme/pickled")

    assert (type(error), error.reason) == (InvalidArgument, "PICKLE_WEIGHTS")
    assert not any("/resolve/" in path for path in hub.asked)


@pytest.mark.parametrize(
    "change",
    [
        lambda files: {**files, "model.safetensors": b"\xff" * 40},
        lambda files: {**files, "model.safetensors": safetensors({"x": (1,)})},
        lambda files: {**files, "tokenizer.json": b"?"},
        lambda files: {**files, "config.json": b"?"},
        lambda files: {**files, "config.json": json.dumps({"pad": "x" * 8_000_001}).encode()},
        lambda files: {name: files[name] for name in files if name != "tokenizer.json"},
        lambda files: {name: files[name] for name in files if name != "config.json"},
    ],
)
async def test_a_model_that_is_broken_is_refused(
    hub: FakeHub, change: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    """As a folder would be."""
    hub.models["acme/broken"] = HubModel(change(model_files()))
    error = await refused(source(hub), "acme/broken")

    assert (type(error), error.reason) == (InvalidArgument, "MODEL_INVALID")


@pytest.mark.parametrize("hub_id", ["a/b/c", "../etc", "has space/x", "x" * 200])
async def test_what_is_no_hub_id_is_refused_unasked(hub: FakeHub, hub_id: str) -> None:
    """The hub never sees it."""
    error = await refused(source(hub), hub_id)

    assert (type(error), error.field) == (InvalidArgument, "model.hub_id")
    assert hub.asked == []


async def test_a_hub_that_is_switched_off_is_not_asked(hub: FakeHub) -> None:
    """Reaching out is off unless somebody switches it on."""
    error = await refused(source(hub, allowed=False), ORDINARY)

    assert (type(error), error.reason) == (NotReady, "HUB_DISABLED")
    assert "start with --allow-hub (hub.allow of the chart)" in error.message
    assert hub.asked == []


async def test_a_hub_in_trouble_is_told_apart_from_a_missing_model(hub: FakeHub) -> None:
    """A retry may help."""
    error = await refused(source(hub), "acme/down")

    assert type(error) is Unavailable
    assert "HTTP 503" in error.message
    assert error.retry_after > 0


async def test_a_hub_that_is_not_there_is_said_to_be_away(hub: FakeHub) -> None:
    """Nothing listens on the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = HubSource(True, f"http://127.0.0.1:{taken.getsockname()[1]}", lambda: None, timeout=2)
        error = await refused(nowhere, ORDINARY)

    assert type(error) is Unavailable
    assert "cannot be reached" in error.message


async def test_a_hub_that_never_answers_does_not_hold_the_caller(hub: FakeHub) -> None:
    """It accepts the connection and stays silent."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        stuck = HubSource(True, f"http://127.0.0.1:{silent.getsockname()[1]}", lambda: None, timeout=0.2)
        error = await refused(stuck, ORDINARY)

    assert type(error) is Unavailable


async def test_offline_mode_fails_at_once_and_says_so(hub: FakeHub) -> None:
    """HF_HUB_OFFLINE is the library's own switch; its client, not ours, obeys it."""

    def offline(request: object) -> None:
        raise huggingface_hub.errors.OfflineModeIsEnabled("offline")

    huggingface_hub.set_client_factory(lambda: httpx2.Client(event_hooks={"request": [offline]}))
    error = await refused(source(hub), ORDINARY)

    assert type(error) is Unavailable
    assert "HF_HUB_OFFLINE is set" in error.message
    assert hub.asked == []


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """And so is one that is not there; the token itself is in no message."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o644)
    with pytest.raises(NotReady, match="chmod 600"):
        read_token_file(path)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)

    assert read_token_file(path) == TOKEN
    with pytest.raises(NotReady, match="cannot be read"):
        read_token_file(tmp_path / "none")
