"""Model folders written without torch: right in every header, zero in every weight."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from services.common.errors import FineTuneFlowError
from services.hardware.folder import FolderSource

CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}
PARAMETERS = 2 * 100 * 16 + 2 * (2 * 16 * 16 + 2 * 8 * 16 + 3 * 16 * 32 + 2 * 16) + 16
"""Embedding and output, two layers, the last norm."""

Shapes = dict[str, tuple[int, ...]]


def shapes() -> Shapes:
    """Return the tensors of the model that CONFIG describes."""
    found: Shapes = {"model.embed_tokens.weight": (100, 16), "model.norm.weight": (16,), "lm_head.weight": (100, 16)}
    layer = {
        "self_attn.q_proj": (16, 16),
        "self_attn.k_proj": (8, 16),
        "self_attn.v_proj": (8, 16),
        "self_attn.o_proj": (16, 16),
        "mlp.gate_proj": (32, 16),
        "mlp.up_proj": (32, 16),
        "mlp.down_proj": (16, 32),
        "input_layernorm": (16,),
        "post_attention_layernorm": (16,),
    }
    for number in range(2):
        found |= {f"model.layers.{number}.{name}.weight": shape for name, shape in layer.items()}
    return found


def safetensors(tensors: Mapping[str, Sequence[int]], dtype: str = "BF16", width: int = 2) -> bytes:
    """Return a safetensors file of zeros."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + math.prod(shape) * width
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def tokenizer_json() -> bytes:
    """Return a tokenizer.json that loads."""
    return Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?")).to_str().encode()


def model_files(config: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Return the files of a good model, by name; config adds to CONFIG or changes it."""
    return {
        "config.json": json.dumps({**CONFIG, **(config or {})}).encode(),
        "model.safetensors": safetensors(shapes()),
        "tokenizer.json": tokenizer_json(),
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
        "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n",
    }


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def sharded(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with the weights in two parts and an index."""
    tensors = list(shapes().items())
    parts = {"model-00001-of-00002.safetensors": tensors[:7], "model-00002-of-00002.safetensors": tensors[7:]}
    weight_map = {name: part for part, named in parts.items() for name, _ in named}
    rest = {name: content for name, content in files.items() if name != "model.safetensors"}
    index = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
    return {
        **rest,
        "model.safetensors.index.json": index,
        **{part: safetensors(dict(named)) for part, named in parts.items()},
    }


async def refused(source: FolderSource, folder: Path | str, revision: str = "") -> FineTuneFlowError:
    """Return the error for a folder that must be refused."""
    with pytest.raises(FineTuneFlowError) as caught:
        await source.read(str(folder), revision)
    return caught.value
