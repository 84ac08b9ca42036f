"""GGUF files: written a tensor at a time, and proven by llama.cpp itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from finetuneflow.export.v1 import export_pb2
from services.common.errors import NotReady
from services.trainer import ggufexport
from services.trainer.ggml import MIXES, Type, rounded, type_of
from services.trainer.gguffile import write_gguf
from services.trainer.ggufproof import BOUNDS, prove, references
from services.trainer.ggufvocab import splitting
from services.trainer.merge import load_tuned, write_merged
from services.trainer.model import Source, load_tokenizer, source_of
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import run_here
from tests.trainer.test_export import folder_of, spec_of
from tests.trainer.test_merge import adapted

TUNED: dict[str, Any] = {"target_modules": "all-linear", "modules_to_save": ["lm_head"]}
"""With an output of its own, since the tiny model's holds every token for equally likely."""

WORST = {Type.Q8_0: 0.01, Type.Q6_K: 0.03, Type.Q5_K: 0.05, Type.Q4_K: 0.1, Type.Q4_0: 0.12, Type.Q5_0: 0.06}


@pytest.mark.parametrize("kind", WORST, ids=lambda kind: kind.name)
def test_rounding_is_what_another_program_reads_back(kind: Type) -> None:
    """llama.cpp writes, the package gguf reads: the error is that of so many bits."""
    values = np.random.default_rng(0).normal(size=(8, 512)).astype(np.float32)
    again = dequantize(rounded(values, kind), kind)

    assert float(np.sqrt(np.mean((again - values) ** 2))) < WORST[kind]


def test_a_mix_gives_more_bits_to_what_needs_them() -> None:
    """As llama.cpp's Q4_K_M does; vectors stay in float32, and odd widths get the type beside."""
    kinds = {
        name: type_of(name, shape, "Q4_K_M", 32, tied=False).name
        for name, shape in {
            "blk.0.attn_v.weight": (256, 1024),
            "blk.4.attn_v.weight": (256, 1024),
            "blk.6.ffn_down.weight": (1024, 4096),
            "blk.6.ffn_up.weight": (4096, 1024),
            "blk.5.ffn_up.weight": (4096, 576),
            "output.weight": (512, 1024),
            "blk.0.attn_norm.weight": (1024,),
            "blk.0.attn_q.weight": (64, 20),
        }.items()
    }

    assert list(kinds.values()) == ["Q6_K", "Q4_K", "Q6_K", "Q4_K", "Q5_0", "Q6_K", "F32", "F16"]
    assert type_of("token_embd.weight", (512, 1024), "Q4_K_M", 32, tied=True) is Type.Q6_K
    assert MIXES.keys() == BOUNDS.keys()


@pytest.mark.parametrize("quantization", ["F16", "Q4_K_M"])
def test_an_export_as_gguf_is_proven_by_llama_cpp(
    tmp_path: Path, objects: Path, model: Path, quantization: str
) -> None:
    """From the spec to the uploaded file, its Modelfile and its card."""
    adapted(model, tmp_path / "adapter", **TUNED)
    spec = spec_of(model, tmp_path / "adapter", "FORMAT_GGUF")
    spec.quantization = export_pb2.Quantization.Value(f"QUANTIZATION_{quantization}")
    with WorkerHost(objects, spec, work="projects/p/exports/x") as host:
        code = run_here(host, tmp_path / "work", command="export")
        assert code == 0
        folder = folder_of(host)
        result = export_pb2.ExportResult()
        host.finished[-1].result.Unpack(result)
    proof = result.gguf

    assert {p.name for p in folder.iterdir()} == {
        f"tiny-{quantization}.gguf",
        "Modelfile",
        "README.md",
        "manifest.json",
    }
    assert 0 <= proof.divergence <= proof.divergence_bound == BOUNDS[quantization][0]
    assert proof.rounding <= proof.rounding_bound
    assert proof.tokens >= 4
    assert proof.loader.startswith("xllamacpp ")
    assert f"llama-server -m tiny-{quantization}.gguf" in (folder / "README.md").read_text()
    assert f"FROM ./tiny-{quantization}.gguf\n" in (folder / "Modelfile").read_text()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Folder with a tuned model as adapter, merged and as GGUF file."""
    folder = tmp_path_factory.mktemp("gguf")
    adapted(model, folder / "adapter", **TUNED)
    (folder / "merged").mkdir()
    source = source_of(str(model), "")
    write_merged(source, folder / "adapter", folder / "merged")
    load_tokenizer(source).save_pretrained(folder / "merged")
    write_gguf(folder / "merged", folder / "tiny.gguf", "F16", "tiny")
    return folder


def zeros(path: Path) -> None:
    """Wipe one tensor out."""
    tensor = next(t for t in GGUFReader(path, "r+").tensors if t.name == "output.weight")
    tensor.data[:] = 0


def other_template(path: Path) -> None:
    """Change a letter of the chat template."""
    path.write_bytes(path.read_bytes().replace(b"<|im_end|>' + '", b"<|im_end|>' + \"", 1))


def cut(path: Path) -> None:
    """Lose the end, as a full disk would."""
    path.write_bytes(path.read_bytes()[:-20_000])


@pytest.mark.parametrize("damage", [zeros, other_template, cut])
def test_a_gguf_file_that_is_not_the_tuned_model_is_refused(
    tmp_path: Path, model: Path, written: Path, damage: Callable[[Path], Any]
) -> None:
    """Whatever happened to it, nobody is offered it."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes((written / "tiny.gguf").read_bytes())
    source = source_of(str(model), "")
    tokenizer = load_tokenizer(source)
    expected = references(load_tuned(source, written / "adapter"), tokenizer)
    damage(path)
    with pytest.raises(NotReady) as caught:
        prove(path, expected, tokenizer, "F16", tmp_path / "log")

    assert caught.value.reason == "ACCEPTANCE_FAILED"


def test_a_model_that_gguf_has_no_form_for_is_refused_before_anything_is_loaded(tmp_path: Path, model: Path) -> None:
    """With the way out."""
    other = tmp_path / "other"
    other.mkdir()
    config = (model / "config.json").read_text().replace("LlamaForCausalLM", "GPT2LMHeadModel")
    (other / "config.json").write_text(config)
    with pytest.raises(NotReady) as caught:
        ggufexport.export_gguf(source_of(str(other), ""), tmp_path, tmp_path, tmp_path, "Q8_0", lambda: None)

    assert caught.value.reason == "GGUF_UNSUPPORTED"
    assert "convert_hf_to_gguf.py" in caught.value.message


def test_a_tokenizer_that_gguf_has_no_form_for_is_refused_before_the_merge(tmp_path: Path, model: Path) -> None:
    """There is no adapter to merge here: who began the merge would stumble over that."""
    other = tmp_path / "other"
    shutil.copytree(model, other)
    core = json.loads((other / "tokenizer.json").read_text())
    core["pre_tokenizer"] = {"type": "Whitespace"}
    (other / "tokenizer.json").write_text(json.dumps(core))
    with pytest.raises(NotReady) as cut:
        ggufexport.export_gguf(source_of(str(other), ""), tmp_path, tmp_path, tmp_path, "Q8_0", lambda: None)
    with pytest.raises(NotReady) as missing:
        splitting(tmp_path)

    assert (cut.value.reason, missing.value.reason) == ("GGUF_UNSUPPORTED", "GGUF_UNSUPPORTED")
    assert "tokenizer.json" in missing.value.message


def test_a_hub_id_gives_the_file_the_model_s_own_last_name(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slash in the model's name makes no folder: the card, the Modelfile and the upload look in the export's own."""
    asked: list[Path] = []

    def write(merged: Path, path: Path, quantization: str, name: str) -> float:
        asked.append(path)
        return float("inf")

    monkeypatch.setattr(ggufexport, "write_gguf", write)
    monkeypatch.setattr(ggufexport, "export_merged", lambda *_: export_pb2.ExportResult())
    source = Source(str(model), "", "org/model")
    with pytest.raises(NotReady):
        ggufexport.export_gguf(source, tmp_path, tmp_path / "out", tmp_path / "scratch", "Q8_0", lambda: None)

    assert asked == [tmp_path / "out" / "model-Q8_0.gguf"]


WITHOUT = "import sys; sys.modules['xllamacpp'] = None; from services.trainer.ggml import require_part; require_part()"


def test_without_llama_cpp_nothing_is_begun() -> None:
    """The refusal names the package to install."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)

    assert "pip install xllamacpp" in done.stderr
