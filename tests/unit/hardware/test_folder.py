"""What is read from a model folder, and which folders are refused."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.errors import FineTuneFlowError, InvalidArgument, NotFound
from services.hardware.core_model import Description, File, folder_revision, license_of_text, read_sizes
from services.hardware.folder import FolderSource
from services.trainer.model import folder_revision as trainers_revision
from tests.fakes.model_folder import PARAMETERS, model_files, safetensors, shapes, sharded, write_folder

Files = dict[str, bytes]


@pytest_asyncio.fixture
async def source() -> AsyncIterator[FolderSource]:
    """The reader of folders."""
    source = FolderSource()
    yield source
    source.close()


async def refused(source: FolderSource, folder: Path | str, revision: str = "") -> FineTuneFlowError:
    """The error for a folder that must be refused."""
    with pytest.raises(FineTuneFlowError) as caught:
        await source.read(str(folder), revision)
    return caught.value


async def test_a_model_is_described_from_its_files(source: FolderSource, tmp_path: Path) -> None:
    """Nothing is loaded: sizes come from config.json, the count and type from the weights' header."""
    found = await source.read(str(write_folder(tmp_path, model_files())), "")

    assert (found.parameters, found.dtype, found.license) == (PARAMETERS, "bfloat16", "apache-2.0")
    assert found.has_chat_template
    assert not found.gated
    assert read_sizes(found.config).context_length == 256
    assert found.tokenizer == (tmp_path / "tokenizer.json").read_bytes()
    assert [file.filename for file in found.files] == sorted(model_files())


async def test_weights_in_parts_count_the_same(source: FolderSource, tmp_path: Path) -> None:
    """The index says which part holds what."""
    found = await source.read(str(write_folder(tmp_path, sharded(model_files()))), "")

    assert found.parameters == PARAMETERS


async def test_the_revision_changes_with_any_byte_and_with_nothing_else(source: FolderSource, tmp_path: Path) -> None:
    """Hidden files and folders below do not count, nor does where the folder is."""
    one = write_folder(tmp_path / "one", model_files())
    two = write_folder(tmp_path / "two", model_files())
    (two / ".gitattributes").write_text("x")
    write_folder(two / "onnx", {"model.onnx": b"x"})
    first, second = await source.read(str(one), ""), await source.read(str(two), "")
    (two / "README.md").write_bytes(b"---\nlicense: apache-2.0\n---\n# Another\n")
    third = await source.read(str(two), "")

    assert first.revision == second.revision != third.revision


async def test_the_trainer_computes_the_same_revision(source: FolderSource, tmp_path: Path) -> None:
    """It refuses to train on a folder that has changed since it was recorded."""
    folder = write_folder(tmp_path, {**model_files(), ".hidden": b"x", "Übersicht.txt": b"y"})

    assert (await source.read(str(folder), "")).revision == trainers_revision(folder)


def test_the_revision_is_a_hash_over_sorted_lines() -> None:
    """So that anyone can compute it: sha256sum of the lines "name sha256"."""
    files = [File("b", 1, "22"), File("a", 1, "11")]

    assert folder_revision(files) == "286ac3fb2fd8d1438239bb3927d8f20be194666e96d94bcf634a898399fe444c"


async def test_a_revision_that_the_folder_does_not_have_is_refused(source: FolderSource, tmp_path: Path) -> None:
    """It says which one it has."""
    folder = write_folder(tmp_path, model_files())
    right = (await source.read(str(folder), "")).revision
    error = await refused(source, folder, "0" * 64)

    assert right in error.message
    assert (await source.read(str(folder), right)).revision == right


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


async def test_a_file_in_place_of_a_folder_is_refused(source: FolderSource, tmp_path: Path) -> None:
    """As is the path of the weights themselves."""
    (tmp_path / "model.safetensors").write_bytes(WHOLE)

    assert "is a file" in (await refused(source, tmp_path / "model.safetensors")).message


async def test_a_dead_link_is_named(source: FolderSource, tmp_path: Path) -> None:
    """Folders of the hub's cache hold links to files elsewhere."""
    folder = write_folder(tmp_path / "model", model_files())
    (folder / "model.safetensors").rename(tmp_path / "blob")
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    good = await source.read(str(folder), "")
    (tmp_path / "blob").unlink()
    error = await refused(source, folder)

    assert good.parameters == PARAMETERS
    assert error.reason == "MODEL_INVALID"
    assert "model.safetensors" in error.message


async def test_a_file_that_has_not_changed_is_hashed_once(source: FolderSource, tmp_path: Path) -> None:
    """So a caller whose deadline passed goes on where the hashing is."""
    folder = write_folder(tmp_path, model_files())
    before = await source.read(str(folder), "")
    # The same size, time and inode: only reading the bytes again would see it.
    times = os.stat(folder / "model.safetensors")
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    os.utime(folder / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns))
    same = await source.read(str(folder), "")
    os.utime(folder / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    changed = await source.read(str(folder), "")

    assert before.revision == same.revision != changed.revision


async def described(source: FolderSource, folder: Path, files: Files) -> Description:
    """The description of a folder with these files."""
    return await source.read(str(write_folder(folder, files)), "")


async def test_an_architecture_that_is_not_known_is_described_from_its_headers(
    source: FolderSource, tmp_path: Path
) -> None:
    """It can be trained; only the arithmetic has nothing to say."""
    files = config(model_type="brandnew", architectures=["BrandNewForCausalLM"], hidden_size="?")(model_files())
    found = await described(source, tmp_path, files)
    sizes = read_sizes(found.config)

    assert found.parameters == PARAMETERS
    assert (sizes.architecture, sizes.layers, sizes.hidden_size) == ("BrandNewForCausalLM", 2, 0)


async def test_tied_weights_that_are_stored_twice_count_once(source: FolderSource, tmp_path: Path) -> None:
    """As do buffers that old checkpoints stored: not at all."""
    stored = {**shapes(), "model.layers.0.self_attn.rotary_emb.inv_freq": (2,)}
    files = {**config(tie_word_embeddings=True)(model_files()), "model.safetensors": safetensors(stored)}
    found = await described(source, tmp_path, files)

    assert found.parameters == PARAMETERS - 100 * 16


async def test_quantised_weights_count_as_what_they_stand_for(source: FolderSource, tmp_path: Path) -> None:
    """Two 4-bit numbers are packed into one byte."""
    packed = {name: (*shape[:-1], shape[-1] // 2) for name, shape in shapes().items()}
    files = {
        **config(quantization_config={"bits": 4})(model_files()),
        "model.safetensors": safetensors(packed, dtype="U8", width=1),
    }
    found = await described(source, tmp_path, files)

    assert (found.parameters, found.dtype) == (PARAMETERS, "uint8")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"tokenizer_config.json": b"{}"}, False),
        ({"tokenizer_config.json": b'{"chat_template": ""}'}, False),
        ({"tokenizer_config.json": b'{"chat_template": [{"name": "default", "template": "x"}]}'}, True),
        ({"tokenizer_config.json": b"{}", "chat_template.jinja": b"x"}, True),
    ],
)
async def test_a_chat_template_is_found_where_tokenizers_keep_it(
    source: FolderSource, tmp_path: Path, files: Files, expected: bool
) -> None:
    """In a file of its own, or in the tokenizer's settings."""
    assert (await described(source, tmp_path, {**model_files(), **files})).has_chat_template is expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": b"---\nlicense: mit\n---\n"}, "mit"),
        ({"README.md": b"# Nothing said"}, ""),
        ({"README.md": b"---\nlicense: [a: {\n---\n", "LICENSE": b"MIT License\n..."}, "mit"),
        ({"README.md": b"\xff\xfe", "LICENSE.txt": b"  Apache License\n Version 2.0"}, "apache-2.0"),
        ({"README.md": b"---\nlicense: [1, 2]\n---\n", "LICENSE": b"All rights reserved"}, "other"),
    ],
)
async def test_the_licence_is_what_the_card_says_else_what_the_text_is(
    source: FolderSource, tmp_path: Path, files: Files, expected: str
) -> None:
    """A card that cannot be read says nothing."""
    assert (await described(source, tmp_path, {**model_files(), **files})).license == expected


def test_a_licence_is_known_by_its_title() -> None:
    """Whatever the line breaks."""
    assert license_of_text("LLAMA 3.2\n  COMMUNITY LICENSE AGREEMENT") == "llama3.2"
