"""What a model card tells whoever takes the weights away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.export.v1 import export_pb2
from services.trainer.cards import proof_of, write_card


@pytest.mark.parametrize(
    ("config", "rank"),
    [
        ({"r": 4}, 8),
        ({"r": 32}, 32),
        ({"r": 48}, 64),
        ({"r": 8, "rank_pattern": {"q_proj": 100}}, 128),
        ({"r": 8, "use_dora": True}, None),
        ({"r": 8, "modules_to_save": ["lm_head"]}, None),
        ({"r": 600}, None),
    ],
)
def test_the_card_names_a_rank_that_vllm_takes(tmp_path: Path, config: dict[str, Any], rank: int | None) -> None:
    """The rank of the files, whatever the run's settings say; nothing about vLLM where it serves no such adapter."""
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    write_card(tmp_path, "adapter", "org/model", True, {"config": {"lora": {"r": 16}}}, "Proven.")
    card = (tmp_path / "README.md").read_text()

    assert "PeftModel.from_pretrained" in card
    assert ("vllm serve" in card) == (rank is not None)
    assert rank is None or f"--max-lora-rank {rank} " in card


def test_the_card_says_whose_licence_holds_and_how_the_model_did(tmp_path: Path) -> None:
    """A licence that is not known is said to be unknown; hubs get only what they can read."""
    score = {"examples": 12, "base_loss": 3.0, "tuned_loss": 1.5, "base_perplexity": 20.09, "tuned_perplexity": 4.48}
    (tmp_path / "adapter_config.json").write_text('{"r": 8}')
    manifest = {"license": "apache-2.0", "evaluation": {"recall": score}}
    cards = {}
    for name, told in (("known", manifest), ("odd", {"license": "My own: ask"}), ("unknown", {"license": ""})):
        write_card(tmp_path, "adapter", "org/model", True, told, "Proven.")
        cards[name] = (tmp_path / "README.md").read_text()

    assert "\nlicense: apache-2.0\n" in cards["known"]
    assert "| questions kept back about documents trained on | 12 | 3.000 | 1.500 | 20.09 | 4.48 |" in cards["known"]
    assert "license:" not in cards["odd"] + cards["unknown"]
    assert "The base model's: My own: ask." in cards["odd"]
    assert "is unknown: ask the model's owner" in cards["unknown"]


def test_the_proof_is_told_of_what_was_loaded() -> None:
    """Of the files themselves, and of the merged weights that a GGUF file, AWQ weights or a graph were made of."""
    plain = export_pb2.ExportResult(max_logit_difference=0.001, logit_bound=0.25, prompts=4)
    both = export_pb2.ExportResult(prompts=4, gguf=export_pb2.GgufProof(loader="xllamacpp 1"))
    graph = export_pb2.OnnxProof(loader="onnxruntime 1", maker="torch 2", opset=20, agreement=1, tokens=96)
    onnx = export_pb2.ExportResult(max_logit_difference=0.5, logit_bound=1, prompts=4, onnx=graph)
    awq = export_pb2.ExportResult(prompts=4, awq=export_pb2.AwqProof(maker="auto-round 1", group_size=64))

    assert proof_of(plain).startswith("Loaded again from these files, its logits differ from the tuned model's by")
    assert "in 4 bits made of them (AWQ by auto-round 1, groups of 64), loaded again" in proof_of(awq)
    assert proof_of(onnx).startswith("Loaded again from these files by onnxruntime 1, the logits differ from the tuned")
    assert "(torch 2, opset 20)" in proof_of(onnx)
    assert proof_of(both).startswith("The merged weights, loaded again, have logits that differ from the tuned")
