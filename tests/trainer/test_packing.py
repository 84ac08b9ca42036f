"""Packing: several examples in one sequence, and none sees another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetuneflow.training.v1 import config_pb2
from services.common.chat.encode import Encoded
from services.common.chat.rows import Row
from services.trainer.model import load_tokenizer, source_of
from tests.trainer.runs import config

SIZES = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
}
GPT2 = {"vocab_size": 512, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}
FAMILIES = ("Llama", "Qwen2", "Qwen3", "Mistral", "Gemma", "Gemma2", "Phi3", "GPT2")


def examples() -> list[Encoded]:
    """Six examples of unlike length that fill two sequences of 64 tokens."""
    row = Row("e", "TRAIN", ())
    ids = [[(31 * k + i) % 400 + 10 for i in range(length)] for k, length in enumerate((9, 17, 30, 5, 40, 11))]
    return [Encoded(row, tokens, [-100, *tokens[1:]], truncated=False) for tokens in ids]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_token_attends_across_examples(family: str, tmp_path: Path, model: Path) -> None:
    """In every batch that a training would take, an example's logits are those that it has alone."""
    import torch
    import transformers

    from services.trainer.train import Training, make_trainer

    ends = {"bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 0}
    form = getattr(transformers, f"{family}Config")(**(GPT2 if family == "GPT2" else SIZES), **ends)
    auto: Any = transformers.AutoModelForCausalLM
    packed = auto.from_config(form)
    settings = config(
        method=config_pb2.METHOD_FULL, lora=None, packing=True, max_length=64, gradient_accumulation_steps=1
    )
    unused: Any = None
    training = Training(settings, tmp_path, "m", unused, unused, None, unused, unused, unused)
    trainer = make_trainer(training, packed, load_tokenizer(source_of(str(model), "")), examples())
    seen, worst = 0, 0.0
    packed.eval()
    for batch in trainer.get_train_dataloader():
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        starts = [i for i, place in enumerate(inputs["position_ids"][0].tolist()) if place == 0]
        with torch.no_grad():
            together = packed(**inputs, use_cache=False).logits[0]
            for start, end in zip(starts, [*starts[1:], len(together)], strict=True):
                alone = packed(input_ids=inputs["input_ids"][:, start:end]).logits[0]
                worst = max(worst, float((together[start:end] - alone).abs().max()))
                seen += 1

    assert seen == len(examples())
    assert worst < 1e-5
