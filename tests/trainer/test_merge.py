"""The merge that holds a shard at a time, beside PEFT's own in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import NotReady
from services.trainer import merge
from services.trainer.model import source_of
from services.trainer.shards import read_tensors, weight_files

KINDS: dict[str, dict[str, Any]] = {
    "lora": {"target_modules": "all-linear"},
    "rslora": {"target_modules": "all-linear", "use_rslora": True},
    "dora": {"target_modules": ["q_proj", "down_proj"], "use_dora": True},
    "patterns": {
        "target_modules": ["q_proj", "v_proj", "up_proj"],
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"layers.1.self_attn.v_proj": 3},
    },
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "whole module": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
}


def adapted(model: Path, folder: Path, **options: Any) -> Any:
    """A model with an adapter that changes it visibly, saved into a folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(2)
    base = AutoModelForCausalLM.from_pretrained(model)
    tuned = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, **options))
    for parameter in (p for p in tuned.parameters() if p.requires_grad):
        torch.nn.init.normal_(parameter, std=0.3)
    tuned.save_pretrained(folder, save_embedding_layers=False)
    return tuned


@pytest.mark.parametrize("kind", KINDS)
def test_the_merge_of_tensors_is_that_of_peft(tmp_path: Path, model: Path, kind: str) -> None:
    """Every tensor of every kind of adapter, within 1e-6, in files of at most the size that was asked for."""
    tuned = adapted(model, tmp_path / "adapter", **KINDS[kind])
    out = tmp_path / "out"
    out.mkdir()
    merge.write_merged(source_of(str(model), ""), tmp_path / "adapter", out, shard_bytes=100_000)
    expected = tuned.merge_and_unload(safe_merge=True).state_dict()
    found = dict(read_tensors(out))

    assert found.keys() == expected.keys()
    assert max(float((found[name] - expected[name]).abs().max()) for name in found) < 1e-6
    assert len(weight_files(out)) > 3
    assert all(path.stat().st_size < 100_000 + 8_192 or len(tensors(path)) == 1 for path in weight_files(out))


def tensors(path: Path) -> list[str]:
    """Names of a file's tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return list(file.keys())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens"),
        ({"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}, "embed_tokens"),
    ],
)
def test_an_adapter_on_tied_embeddings_is_refused(
    tmp_path: Path, model: Path, options: dict[str, Any], named: str
) -> None:
    """The files hold one tensor for both places: a change of one of them cannot be written."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model, tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "tied")
    adapted(tmp_path / "tied", tmp_path / "adapter", **options)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(NotReady) as caught:
        merge.write_merged(source_of(str(tmp_path / "tied"), ""), tmp_path / "adapter", out)

    assert caught.value.reason == "MERGE_UNSUPPORTED"
    assert named in caught.value.message


MEASURE = """
import resource, sys
from pathlib import Path
from services.trainer import merge
from services.trainer.model import source_of
import transformers, peft
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model, adapter, out = map(Path, sys.argv[1:])
merge.write_merged(source_of(str(model), ""), adapter, out, shard_bytes=8_000_000)
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_the_merge_needs_less_memory_than_the_model(tmp_path: Path, model: Path) -> None:
    """A model of 200 MB in files of 8 MB: what the process grows by is under half of the model."""
    import torch
    from safetensors.torch import save_file

    big = tmp_path / "big"
    big.mkdir()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "out").mkdir()
    for place in range(25):
        names = [f"model.layers.{place}.{part}.weight" for part in "ab"]
        save_file({n: torch.zeros(1024, 1024) for n in names}, big / f"model-{place}.safetensors")
    index = {
        f"model.layers.{place}.{part}.weight": f"model-{place}.safetensors" for place in range(25) for part in "ab"
    }
    (big / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (big / "config.json").write_bytes((model / "config.json").read_bytes())
    config = {"peft_type": "LORA", "lora_alpha": 2}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    lora = {
        f"base_model.model.model.layers.{place}.a.lora_{part}.weight": torch.ones(
            (2, 1024) if part == "A" else (1024, 2)
        )
        for place in range(25)
        for part in "AB"
    }
    save_file(lora, tmp_path / "adapter" / "adapter_model.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, (big, tmp_path / "adapter", tmp_path / "out"))],
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, done.stdout.split())

    assert (after - before) * 1024 < 100_000_000
    assert sum(path.stat().st_size for path in weight_files(tmp_path / "out")) > 200_000_000
