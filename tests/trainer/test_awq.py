"""AWQ weights: rounded on the CPU, read back by transformers, compared with the tuned model, or refused.

The packages that make them are an extra, awq, of the project: tests that need them are left out where they are missing.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetuneflow.export.v1 import export_pb2
from services.common.errors import NotReady
from services.common.optionalpart import AWQ, PARTS, OptionalPart
from services.common.statuses import from_status
from services.trainer import awqexport
from services.trainer.acceptance import Behaviour, Ends
from services.trainer.model import source_of
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import run_here
from tests.trainer.test_export import folder_of, spec_of
from tests.trainer.test_gguf import TUNED
from tests.trainer.test_merge import adapted

needs_the_part = pytest.mark.skipif(not AWQ.is_here(), reason='needs pip install "finetuneflow[awq]"')


@pytest.mark.model
@needs_the_part
def test_an_export_as_awq_is_proven_by_reading_it_back(tmp_path: Path, objects: Path, model: Path) -> None:
    """From the spec to the uploaded files and their card: 4 bits for the layers, and no path of this machine."""
    from transformers import AutoModelForCausalLM

    adapted(model, tmp_path / "adapter", **TUNED)
    spec = spec_of(model, tmp_path / "adapter", "FORMAT_AWQ")
    with WorkerHost(objects, spec, work="projects/p/exports/x") as host:
        code = run_here(host, tmp_path / "work", command="export")
        assert code == 0
        folder = folder_of(host)
        result = export_pb2.ExportResult()
        host.finished[-1].result.Unpack(result)
        again = AutoModelForCausalLM.from_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())

    assert settings["quantization_config"]["quant_method"] == "compressed-tensors"
    assert settings["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] == 4
    assert again.config.vocab_size == settings["vocab_size"]
    assert 0 < result.awq.divergence <= result.awq.divergence_bound
    assert (result.awq.group_size, result.prompts) == (32, 4)
    assert result.awq.tokens > 40
    assert "vllm serve ." in (folder / "README.md").read_text()
    assert str(tmp_path) not in (folder / "config.json").read_text() + (folder / "README.md").read_text()


@pytest.mark.parametrize("form", PARTS, ids=lambda form: PARTS[form].name)
def test_an_export_without_its_packages_says_what_to_install(
    form: export_pb2.Format.ValueType, tmp_path: Path, objects: Path, model: Path
) -> None:
    """Before anything is fetched: files that cannot be are not missed."""
    part = PARTS[form]
    if part.is_here():
        pytest.skip(f"the packages of {part.name} are installed")
    adapted(model, tmp_path / "adapter", **TUNED)
    spec = spec_of(model, tmp_path / "adapter", export_pb2.Format.Name(form))
    spec.model_files.add(filename="model.safetensors", sha256="0" * 64, size_bytes=1)
    spec.model_urls.append("http://127.0.0.1:9/gone")
    with WorkerHost(objects, spec, work="projects/p/exports/x") as host:
        run_here(host, tmp_path / "work", command="export")
        error = from_status(host.finished[-1].error)

    assert error.reason == "PACKAGE_MISSING"
    assert f"pip install {' '.join(part.packages.values())}" in error.message


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_a_service_refuses_what_its_packages_are_missing_for(part: OptionalPart) -> None:
    """With the request's field, what to install and what to set; where they are there it says nothing."""
    part.require(True)
    with pytest.raises(NotReady) as caught:
        part.require(False, "export.format")

    assert (caught.value.reason, caught.value.field) == ("PACKAGE_MISSING", "export.format")
    assert f"pip install {' '.join(part.packages.values())}" in caught.value.message
    assert part.variable in caught.value.message


@pytest.mark.parametrize(("moved", "is_refused"), [(0.1, False), (9.0, True)])
def test_weights_whose_probabilities_moved_too_far_are_refused(moved: float, is_refused: bool) -> None:
    """By one logit in each place, where all were equally likely."""
    import torch

    plain = torch.zeros(5, 8)
    other = plain.clone()
    other[:, 0] += moved
    expected, found = (Behaviour((logits,), "", Ends(frozenset(), None)) for logits in (plain, other))
    if is_refused:
        with pytest.raises(NotReady) as caught:
            awqexport.prove(expected, found, 64, "auto-round")
        assert caught.value.reason == "ACCEPTANCE_FAILED"
        return
    proof = awqexport.prove(expected, found, 64, "auto-round")

    assert 0 < proof.divergence < 0.01
    assert (proof.tokens, proof.group_size) == (5, 64)


def test_what_was_left_in_32_bits_gets_the_configuration_s_16(tmp_path: Path) -> None:
    """As a CPU leaves the embeddings that has no arithmetic in 16 bits; what is in 4 bits stays as it is."""
    import torch
    from safetensors.torch import load_file, save_file

    made, out = tmp_path / "made/w4g64", tmp_path / "out"
    made.mkdir(parents=True)
    out.mkdir()
    packed = {"weight_packed": torch.arange(8, dtype=torch.int32), "weight_scale": torch.ones(2, dtype=torch.float16)}
    save_file({**packed, "embed_tokens.weight": torch.ones(4, 2)}, made / "model.safetensors")
    (made / "config.json").write_text(json.dumps({"dtype": "bfloat16", "_name_or_path": str(made)}))
    awqexport.take(tmp_path / "made", out, "tiny")
    found = load_file(out / "model.safetensors")

    assert {name: str(tensor.dtype) for name, tensor in found.items()} == {
        "weight_packed": "torch.int32",
        "weight_scale": "torch.float16",
        "embed_tokens.weight": "torch.bfloat16",
    }
    assert json.loads((out / "config.json").read_text()) == {"dtype": "bfloat16", "_name_or_path": "tiny"}


def test_a_model_that_awq_does_not_fit_is_refused_before_it_is_merged(tmp_path: Path) -> None:
    """GPT-2 has no gate and no intermediate_size; only its config.json is read."""
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}')
    with pytest.raises(NotReady) as caught:
        awqexport.export_awq(source_of(str(tmp_path), ""), tmp_path, tmp_path, tmp_path / "scratch", lambda: None)

    assert caught.value.reason == "ARCHITECTURE_UNKNOWN"
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize(
    ("facts", "size"),
    [
        ((4096, 14336, 32, 128), 128),
        ((576, 1536, 9, None), 64),
        ((64, 160, 4, None), 32),
        ((60, 90, 4, 15), 32),
    ],
)
def test_a_group_divides_every_row_of_the_layers(facts: tuple[Any, ...], size: int) -> None:
    """The largest of 128, 64 and 32 that does."""
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "head_dim")
    found = awqexport.group_size(SimpleNamespace(**dict(zip(names, facts, strict=True))))

    assert found == size
