"""Folders that are no model, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from services.common.errors import InvalidArgument, NotFound
from services.hardware.folder import FolderSource
from tests.fakes.model_folder import model_files, refused, safetensors, shapes, sharded, write_folder

Files = dict[str, bytes]


@pytest.mark.parametrize("path", ["relative/folder", "", "/tmp/\x00", "~/model"])
async def test_a_path_that_is_not_absolute_is_refused(source: FolderSource, path: str) -> None:
    """The server's working folder means nothing to a caller."""
    error = await refused(source, path)

    assert (type(error), error.field) == (InvalidArgument, "model.local_path")


async def test_a_folder_that_is_not_there_is_not_found(source: FolderSource, tmp_path: Path) -> None:
    """With the path that was looked at."""
    error = await refused(source, tmp_path / "nowhere")

    assert (type(error), error.reason) == (NotFound, "MODEL_NOT_FOUND")
    assert str(tmp_path / "nowhere") in error.message


async def test_a_file_in_place_of_a_folder_is_refused(source: FolderSource, tmp_path: Path) -> None:
    """As is the path of the weights themselves."""
    (tmp_path / "model.safetensors").write_bytes(WHOLE)

    assert "is a file" in (await refused(source, tmp_path / "model.safetensors")).message


def without(name: str) -> Callable[[Files], Files]:
    """The files but one."""
    return lambda files: {n: content for n, content in files.items() if n != name}


def replaced(name: str, content: bytes) -> Callable[[Files], Files]:
    """The files with one changed or added."""
    return lambda files: {**files, name: content}


def config(**changes: object) -> Callable[[Files], Files]:
    """The files with entries of config.json changed."""
    return lambda files: {**files, "config.json": json.dumps({**json.loads(files["config.json"]), **changes}).encode()}


def pickled(files: Files) -> Files:
    """The files with pickle weights in place of safetensors."""
    return {**without("model.safetensors")(files), "pytorch_model.bin": b"\x80\x04"}


def header(text: bytes) -> bytes:
    """A safetensors file with this header and nothing else."""
    return len(text).to_bytes(8, "little") + text


LESS = {name: shape for name, shape in shapes().items() if "layers.1" not in name}
WHOLE = safetensors(shapes())
PART = "model-00002-of-00002.safetensors"

BAD: dict[str, tuple[Callable[[Files], Files], str, str]] = {
    "no config": (without("config.json"), "MODEL_INVALID", "has no config.json"),
    "config is no JSON": (replaced("config.json", b"{"), "MODEL_INVALID", "config.json is not valid JSON"),
    "config is deep": (replaced("config.json", b"[" * 100_000), "MODEL_INVALID", "config.json is not valid JSON"),
    "config is a list": (replaced("config.json", b"[]"), "MODEL_INVALID", "config.json is not a JSON object"),
    "no architecture": (config(architectures=[]), "MODEL_INVALID", "names no architecture"),
    "classifier": (config(architectures=["BertForMaskedLM"]), "MODEL_INVALID", "does not generate text"),
    "encoder and decoder": (config(is_encoder_decoder=True), "MODEL_INVALID", "does not generate text"),
    "negative size": (config(hidden_size=-16), "MODEL_INVALID", '"hidden_size" is -16'),
    "no tokenizer": (without("tokenizer.json"), "MODEL_INVALID", "has no tokenizer.json"),
    "broken tokenizer": (replaced("tokenizer.json", b'{"model": 1}'), "MODEL_INVALID", "tokenizer.json cannot be"),
    "broken template file": (replaced("tokenizer_config.json", b"?"), "MODEL_INVALID", "tokenizer_config.json is not"),
    "pickle only": (pickled, "PICKLE_WEIGHTS", "only pickle weights"),
    "no weights": (without("model.safetensors"), "MODEL_INVALID", "has no weights"),
    "adapter": (
        lambda files: {**without("model.safetensors")(files), "adapter_model.safetensors": b"x"},
        "MODEL_INVALID",
        "is an adapter",
    ),
    "odd safetensors": (
        lambda files: {**without("model.safetensors")(files), "part.safetensors": WHOLE},
        "MODEL_INVALID",
        "neither model.safetensors nor",
    ),
    "empty weights": (replaced("model.safetensors", b""), "MODEL_INVALID", "not a safetensors file"),
    "not safetensors": (replaced("model.safetensors", b"GGUF" * 99), "MODEL_INVALID", "not a safetensors file"),
    "cut in the header": (replaced("model.safetensors", WHOLE[:100]), "MODEL_INVALID", "cut off inside its header"),
    "cut in the weights": (replaced("model.safetensors", WHOLE[:-1]), "MODEL_INVALID", "bytes are there"),
    "bytes too many": (replaced("model.safetensors", WHOLE + b"x"), "MODEL_INVALID", "1 bytes after its last tensor"),
    "header of no use": (replaced("model.safetensors", header(b"[1]")), "MODEL_INVALID", "header that cannot be read"),
    "tensor of the wrong size": (
        replaced("model.safetensors", header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,0]}}')),
        "MODEL_INVALID",
        "header that cannot be read",
    ),
    "no tensors": (replaced("model.safetensors", header(b"{}")), "MODEL_INVALID", "holds no weights"),
    "half of the layers": (replaced("model.safetensors", safetensors(LESS)), "MODEL_INVALID", "config.json describes"),
    "part missing": (lambda files: without(PART)(sharded(files)), "MODEL_INVALID", f"{PART} is missing"),
    "part cut off": (
        lambda files: {**sharded(files), PART: sharded(files)[PART][:-5]},
        "MODEL_INVALID",
        f"{PART} is cut off",
    ),
    "part that lacks a tensor": (
        lambda files: {**sharded(files), PART: safetensors({"x": (1,)})},
        "MODEL_INVALID",
        f"{PART} lacks the tensor",
    ),
    "index of no use": (
        lambda files: {**sharded(files), "model.safetensors.index.json": b'{"weight_map": {"a": 1}}'},
        "MODEL_INVALID",
        'has no "weight_map"',
    ),
    "index that leaves the folder": (
        lambda files: {**sharded(files), "model.safetensors.index.json": b'{"weight_map": {"a": "../../x"}}'},
        "MODEL_INVALID",
        "../../x is missing",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_folder_that_is_no_model_is_refused_with_the_file_and_the_remedy(
    case: str, source: FolderSource, tmp_path: Path
) -> None:
    """A typed error each, and a message that ends with what to do."""
    change, reason, words = BAD[case]
    error = await refused(source, write_folder(tmp_path, change(model_files())))

    assert (type(error), error.reason) == (InvalidArgument, reason)
    assert words in error.message
    assert error.message.endswith(".")
