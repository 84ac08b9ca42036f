"""Base models of a hub: what the trainer says when the hub, the token or the disk fails."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils._http import default_client_factory

from services.common.errors import Exhausted, FineTuneFlowError, NotReady, Unavailable
from services.trainer.model import (
    Source,
    load_config,
    load_generation,
    load_model,
    load_tokenizer,
    local_folder,
    source_of,
)
from services.trainer.shards import weight_files
from services.trainer.streamed import Files
from tests.fakes.hub import COMMIT, FakeHub, HubModel, folder_files

PART = "model-00001-of-00001.safetensors"
LOADS = (load_config, load_tokenizer, load_generation, local_folder)


@pytest.fixture
def hub(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub on loopback with a cache of its own, reached even where HF_HUB_OFFLINE is set."""
    files = folder_files(model)
    plain = {name: content for name, content in files.items() if name != "generation_config.json"}
    models = {
        "acme/tiny": HubModel(files),
        "acme/plain": HubModel(plain),
        "acme/extra": HubModel({**files, "extra.safetensors": b"", "sub/more.safetensors": b""}),
        "acme/both": HubModel({**files, **parts(files)}),
        "acme/parts": HubModel({**parts(files), **small(files)}),
        "acme/gated": HubModel(files, gated=True),
        "acme/forbidden": HubModel({}, broken=403),
        "acme/down": HubModel({}, broken=503),
        "acme/busy": HubModel({}, broken=429),
        "acme/hiccup": HubModel(files, broken_files={"tokenizer_config.json": 502, "generation_config.json": 502}),
        "acme/heavy": HubModel(files, broken_files={"model.safetensors": 500}),
        "acme/odd": HubModel({**files, "config.json": b'{"model_type": "no-such-type"}'}),
    }
    huggingface_hub.set_client_factory(lambda: httpx2.Client(follow_redirects=True))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its own tries
    with FakeHub(models) as hub:
        point_at(hub.url, tmp_path, monkeypatch)
        yield hub
    huggingface_hub.set_client_factory(default_client_factory)


def parts(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The weights as an index and its only part."""
    whole = files["model.safetensors"]
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    names = {name: PART for name in header if name != "__metadata__"}
    return {PART: whole, "model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": names}).encode()}


def small(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """All but the weights."""
    return {name: content for name, content in files.items() if not name.endswith(".safetensors")}


def point_at(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library ask this hub, and keep what it has in a cache of the test's."""
    files = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def of_hub(hub_id: str) -> Source:
    """That model of the hub at its commit."""
    return source_of(hub_id, COMMIT)


def refused(load: Callable[[Source], object], source: Source) -> FineTuneFlowError:
    """The error of a load; it ends with a remedy."""
    with pytest.raises(FineTuneFlowError) as caught:
        load(source)
    assert source.location in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value


def test_a_model_of_a_hub_is_loaded_at_its_commit(hub: FakeHub) -> None:
    """Its small files come first, its weights when they are wanted; what is in the cache is not asked for again."""
    import torch

    source = of_hub("acme/tiny")
    tokenizer, generation = load_tokenizer(source), load_generation(source)
    before = [path for path in hub.asked if "safetensors" in path]
    model = load_model(source, torch.float32)

    assert tokenizer.chat_template
    assert generation is not None
    assert generation.eos_token_id == model.generation_config.eos_token_id
    assert before == []
    asked = len(hub.asked)
    assert (local_folder(source) / "model.safetensors").is_file()
    assert len(hub.asked) == asked


@pytest.mark.parametrize("hub_id", ["acme/extra", "acme/both"])
def test_of_a_models_weights_those_that_are_loaded_are_fetched_alone(hub: FakeHub, hub_id: str) -> None:
    """A file that nothing names, and parts beside the whole: they are never asked for, and nobody misses them."""
    import torch

    source = of_hub(hub_id)
    load_model(source, torch.float32)
    asked = len(hub.asked)
    folder = local_folder(source)
    tensors = Files(folder).shapes

    assert {path.rpartition("/")[2] for path in hub.asked if path.endswith(".safetensors")} == {"model.safetensors"}
    assert len(hub.asked) == asked
    assert "model.embed_tokens.weight" in tensors


def test_the_parts_that_an_index_names_are_fetched(hub: FakeHub) -> None:
    """Of a model that is not in one file."""
    import torch

    source = of_hub("acme/parts")
    load_model(source, torch.float32)
    asked = len(hub.asked)

    assert weight_files(local_folder(source)) == [local_folder(source) / PART]
    assert len(hub.asked) == asked


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("hub_id", ["acme/down", "acme/busy"])
def test_a_hub_that_fails_may_be_asked_again(hub: FakeHub, load: Callable[[Source], object], hub_id: str) -> None:
    """With 5xx and 429; the trainer's exit code then says so."""
    error = refused(load, of_hub(hub_id))

    assert (type(error), error.reason) == (Unavailable, "DEPENDENCY_UNAVAILABLE")
    assert "HTTP" in error.message


@pytest.mark.parametrize("load", LOADS)
def test_a_hub_that_is_not_there_may_be_asked_again(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[Source], object]
) -> None:
    """No connection is not a missing model."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        point_at(f"http://127.0.0.1:{taken.getsockname()[1]}", tmp_path, monkeypatch)
        error = refused(load, of_hub("acme/tiny"))

    assert (type(error), error.reason) == (Unavailable, "DEPENDENCY_UNAVAILABLE")


def test_one_file_that_fails_is_not_taken_for_absent(hub: FakeHub) -> None:
    """A tokenizer without its configuration would be the result, an export without its end tokens, no weights."""
    import torch

    errors = [refused(load, of_hub("acme/hiccup")) for load in (load_tokenizer, load_generation)]
    heavy = refused(lambda source: load_model(source, torch.float32), of_hub("acme/heavy"))

    assert [type(error) for error in (*errors, heavy)] == [Unavailable] * 3


def test_a_model_without_generation_settings_has_none(hub: FakeHub, model: Path, tmp_path: Path) -> None:
    """Of a hub that says so, and of a folder; settings that cannot be read are no missing ones."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "generation_config.json").write_text("{")

    assert load_generation(of_hub("acme/plain")) is None
    assert load_generation(source_of(str(tmp_path), "")) is None
    with pytest.raises(NotReady, match="Model broken cannot be loaded"):
        load_generation(source_of(str(folder), ""))


def test_without_a_token_a_gated_model_is_named_with_the_remedy(hub: FakeHub) -> None:
    """401 and 403 alike: to accept the licence, and to give a token."""
    errors = [refused(load_config, of_hub(name)) for name in ("acme/gated", "acme/forbidden", "acme/nobodys")]

    assert {(type(error), error.reason) for error in errors} == {(NotReady, "MODEL_GATED")}
    assert "licence" in errors[0].message
    assert "FTF_HUB_TOKEN_FILE" in errors[0].message
    assert "no longer there" in errors[2].message


def test_a_model_or_a_commit_that_is_gone_is_not_found(hub: FakeHub) -> None:
    """404 alone is a missing model; one of a kind that nobody knows is there, and not for use."""
    gone = refused(load_config, source_of("acme/tiny", "f" * 40))
    with pytest.raises(NotReady, match="Model acme/odd cannot be loaded") as odd:
        load_config(of_hub("acme/odd"))

    assert (type(gone), gone.reason) == (NotReady, "MODEL_NOT_FOUND")
    assert odd.value.reason == "MODEL_INVALID"


def test_a_cache_without_room_is_a_full_disk(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of the libraries met it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    error = refused(load_config, of_hub("acme/tiny"))

    assert (type(error), error.reason) == (Exhausted, "DISK_FULL")


def test_offline_what_the_cache_lacks_is_said(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has is used; that it has no generation settings counts where it knows all of the model's files."""
    load_config(of_hub("acme/plain"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.set_client_factory(default_client_factory)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    error = refused(load_config, of_hub("acme/tiny"))

    assert load_config(of_hub("acme/plain")).model_type == "llama"
    assert load_generation(of_hub("acme/plain")) is None
    assert (type(error), error.reason) == (NotReady, "HUB_DISABLED")
    assert "Unset it (hub.allow of the chart)" in error.message
