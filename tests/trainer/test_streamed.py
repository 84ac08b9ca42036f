"""A model that is too large for the memory that is free: its proof reads each layer when it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import NotReady
from services.trainer import merge
from services.trainer.acceptance import observe, require_same
from services.trainer.model import load_tokenizer, source_of
from services.trainer.shards import weight_files
from services.trainer.streamed import hollow, needs_streaming, stream_of
from tests.trainer.test_export import damage_weights
from tests.trainer.test_merge import KINDS, adapted

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "qwen3": SMALL | {"intermediate_size": 64, "tie_word_embeddings": True},
    "gemma2": SMALL | {"intermediate_size": 64, "query_pre_attn_scalar": 8},
    "phi3": SMALL | {"intermediate_size": 64, "num_key_value_heads": 4, "pad_token_id": 0},
}
NONE = 1_000
"""Bytes of free memory that no model fits into."""


def made(folder: Path, tokenizer: Any, kind: str, dtype: str) -> Path:
    """A model of a family with random weights, tokenizer included."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), eos_token_id=2, bos_token_id=2, **FAMILIES[kind])
    AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def answers(source: Any, adapter: Path, folder: Path, free: int | None) -> list[float]:
    """The differences that the proofs of an adapter and of merged weights find."""
    found = []
    for export in (merge.export_adapter, merge.export_merged):
        out = folder / f"{export.__name__} {free}"
        out.mkdir()
        found.append(export(source, adapter, out, lambda: None, free=free).max_logit_difference)
    return found


@pytest.mark.parametrize("kind", ["dora", "embedding", "whole module", "16 bits"])
def test_a_streamed_proof_finds_what_the_usual_one_finds(tmp_path: Path, model: Path, kind: str) -> None:
    """To six digits: for kinds of adapters that can be merged, and for a base whose weights are rounded."""
    base = model
    if kind == "16 bits":
        base = made(tmp_path / "base", load_tokenizer(source_of(str(model), "")), "qwen3", "bfloat16")
    adapted(base, tmp_path / "adapter", **KINDS.get(kind, KINDS["lora"]))
    source = source_of(str(base), "")
    whole, streamed = (answers(source, tmp_path / "adapter", tmp_path, free) for free in (None, NONE))

    assert streamed == pytest.approx(whole, rel=1e-6)
    assert whole[1] > 0


@pytest.mark.parametrize("kind", FAMILIES)
def test_families_are_streamed_with_the_same_logits(tmp_path: Path, model: Path, kind: str) -> None:
    """Tied or not, however their modules are called; afterwards no weight of the base is in memory."""
    tokenizer = load_tokenizer(source_of(str(model), ""))
    base = made(tmp_path / "base", tokenizer, kind, "float32")
    adapted(base, tmp_path / "adapter", target_modules="all-linear")
    source = source_of(str(base), "")
    thin = merge.load_tuned(source, tmp_path / "adapter", NONE)
    difference = require_same(
        observe(merge.load_tuned(source, tmp_path / "adapter"), tokenizer), observe(thin, tokenizer), 1e-6
    )

    assert difference < 1e-6
    assert stream_of(thin)
    assert {p.untyped_storage().nbytes() for n, p in thin.named_parameters() if "lora_" not in n} == {4}


def test_what_a_run_left_whole_is_streamed_too(tmp_path: Path, model: Path) -> None:
    """A run that trained every weight has no adapter."""
    source = source_of(str(model), "")

    assert stream_of(merge.load_tuned(source, model, NONE))
    assert stream_of(merge.load_tuned(source, model)) is None
    (tmp_path / "out").mkdir()
    assert merge.export_merged(source, model, tmp_path / "out", lambda: None, free=NONE).max_logit_difference == 0


@pytest.mark.parametrize("export", [merge.export_adapter, merge.export_merged])
def test_a_streamed_proof_refuses_damaged_weights(tmp_path: Path, model: Path, export: Any) -> None:
    """As the usual one: the files change between writing and reading back."""
    adapted(model, tmp_path / "adapter", **KINDS["lora"])
    (tmp_path / "out").mkdir()
    steps = iter([lambda: None, lambda: damage_weights(tmp_path / "out")])
    with pytest.raises(NotReady) as caught:
        export(source_of(str(model), ""), tmp_path / "adapter", tmp_path / "out", lambda: next(steps)(), free=NONE)

    assert caught.value.reason == "ACCEPTANCE_FAILED"


def test_a_weight_that_was_not_read_is_no_number(model: Path) -> None:
    """So that nothing is proven by a weight that a model uses outside its module."""
    source = source_of(str(model), "")
    seen = observe(hollow(source), load_tokenizer(source))
    with pytest.raises(NotReady) as caught:
        require_same(seen, seen, 1.0)

    assert caught.value.reason == "ACCEPTANCE_FAILED"


def test_models_are_streamed_by_size_and_adapters_by_what_they_change(tmp_path: Path, model: Path) -> None:
    """Two fifths of the free memory; an adapter that changes biases or began as a part of the base is not."""
    source = source_of(str(model), "")
    size = sum(path.stat().st_size for path in weight_files(model))
    found = {}
    for name, settings in {"plain": {}, "bias": {"bias": "all"}, "pissa": {"init_lora_weights": "pissa"}}.items():
        config = tmp_path / f"{name}.json"
        config.write_text(json.dumps({"peft_type": "LORA", **settings}))
        found[name] = [needs_streaming(source, config, free) for free in (size, size * 3)]

    assert found == {"plain": [True, False], "bias": [False, False], "pissa": [False, False]}


MEASURE = """
import sys
from pathlib import Path
from services.trainer import merge
from services.trainer.measuring import begin_stretch, peak_memory_bytes, resident_memory_bytes
from services.trainer.model import source_of
for model, out in zip(sys.argv[1::2], sys.argv[2::2]):
    begin_stretch()
    before = resident_memory_bytes()
    source, adapter = source_of(model, ""), Path(model, "adapter")
    merge.export_merged(source, adapter, Path(out), lambda: None, shard_bytes=8_000_000, free=1000)
    print(peak_memory_bytes() - before)
"""


def test_a_streamed_proof_needs_less_memory_than_the_model(tmp_path: Path) -> None:
    """A model of 270 MB in files of 8 MB, written and proven in a process of its own: under a third of its size.

    A small one is exported before it, so that the libraries are there.
    """
    from tests.bench.exports import make

    folders = [tmp_path / name for name in ("small", "out", "big", "big out")]
    for folder, layers in zip(folders[::2], (1, 20), strict=True):
        make(folder, layers)
    for folder in folders[1::2]:
        folder.mkdir()
    command = [sys.executable, "-c", MEASURE, *map(str, folders)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    size = sum(path.stat().st_size for path in weight_files(folders[2]))

    assert size > 260_000_000
    assert int(done.stdout.split()[1]) < size / 3, done.stdout
