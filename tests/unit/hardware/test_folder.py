"""What is read from a model folder, and which folders are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.hardware.core_model import Description, File, folder_revision, license_of_text, read_sizes
from services.hardware.folder import FolderSource
from services.trainer.model import folder_revision as trainers_revision
from tests.fakes.model_folder import PARAMETERS, model_files, refused, safetensors, shapes, sharded, write_folder

Files = dict[str, bytes]


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


def config(**changes: object) -> Callable[[Files], Files]:
    """The files with entries of config.json changed."""
    return lambda files: {**files, "config.json": json.dumps({**json.loads(files["config.json"]), **changes}).encode()}


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
