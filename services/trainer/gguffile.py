"""A merged model's folder as one GGUF file, written a tensor at a time. The writer is ggml's own package gguf."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, LlamaFileType, RopeScalingType, TensorNameMap, get_tensor_name_map
from gguf.constants import GGML_QUANT_SIZES, MODEL_ARCH, MODEL_ARCH_NAMES
from gguf.quants import dequantize
from numpy.typing import NDArray

from services.common.errors import NotReady
from services.trainer.ggml import Type, require_part, rounded, type_of
from services.trainer.ggufvocab import add_vocabulary
from services.trainer.model import load_config, load_tokenizer, source_of
from services.trainer.shards import read_tensors

_ARCHITECTURES: Mapping[str, MODEL_ARCH] = {
    "LlamaForCausalLM": MODEL_ARCH.LLAMA,
    "MistralForCausalLM": MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": MODEL_ARCH.QWEN3,
}
_FILE_TYPES: Mapping[str, LlamaFileType] = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "BF16": LlamaFileType.MOSTLY_BF16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q6_K": LlamaFileType.MOSTLY_Q6_K,
    "Q5_K_M": LlamaFileType.MOSTLY_Q5_K_M,
    "Q4_K_M": LlamaFileType.MOSTLY_Q4_K_M,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
}
_RESTS = ("rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")


def write_gguf(merged: Path, path: Path, quantization: str, name: str) -> float:
    """Write a merged model's folder as a GGUF file.

    Memory holds one tensor in float32 beside one of the model's files.

    Args:
        merged: the folder: safetensors, config.json, tokenizer.
        path: the file to write.
        quantization: F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q4_K_M or Q4_0.
        name: what the file calls the model.

    Returns:
        The largest of the tensors' rounding errors: root mean square of the error over that of the tensor.

    Raises:
        NotReady: with reason GGUF_UNSUPPORTED or GGUF_PART_MISSING.
    """
    require_part()
    source = source_of(str(merged), "")
    config = load_config(source)
    arch = architecture(config)
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[arch])
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[quantization])
    writer.add_quantization_version(2)
    _add_sizes(writer, config)
    add_vocabulary(writer, merged, load_tokenizer(source), config.vocab_size)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    tied = bool(config.tie_word_embeddings)
    kinds = []
    for tensor, values in _tensors(merged, config, names, shapes_only=True):
        kind = type_of(tensor, values.shape, quantization, config.num_hidden_layers, tied)
        kinds.append(kind)
        block, size = GGML_QUANT_SIZES[kind]
        # The writer wants the shape in bytes of a type that is not numbers.
        shape = values.shape if kind in (Type.F32, Type.F16) else (*values.shape[:-1], values.shape[-1] // block * size)
        dtype = {Type.F32: np.float32, Type.F16: np.float16}.get(kind, np.uint8)
        writer.add_tensor_info(tensor, shape, np.dtype(dtype), values.size // block * size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    worst = 0.0
    for kind, (_, values) in zip(kinds, _tensors(merged, config, names), strict=True):
        made = rounded(values, kind)
        worst = max(worst, _error(values, made, kind))
        writer.write_tensor_data(made)
    writer.close()
    return worst


def architecture(config: Any) -> MODEL_ARCH:
    """Return GGUF's name of a model's architecture.

    Raises:
        NotReady: with reason GGUF_UNSUPPORTED.
    """
    named = (config.architectures or [""])[0]
    scaling = (config.rope_parameters or {}).get("rope_type", "default")
    if named not in _ARCHITECTURES or scaling not in ("default", "linear", "llama3"):
        what = f"{named} with positions of the kind {scaling}" if named in _ARCHITECTURES else named or "unnamed"
        raise NotReady(
            f"A model of the architecture {what} cannot be written as GGUF here. Export it merged, and convert it with "
            "llama.cpp's own convert_hf_to_gguf.py.",
            reason="GGUF_UNSUPPORTED",
        )
    return _ARCHITECTURES[named]


def _add_sizes(writer: GGUFWriter, config: Any) -> None:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = config.rope_parameters or {}
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    writer.add_rope_dimension_count(width)
    writer.add_key_length(width)
    writer.add_value_length(width)
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def _tensors(
    merged: Path, config: Any, names: TensorNameMap, shapes_only: bool = False
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the tensors under GGUF's names, in float32 and in GGUF's order of rows."""
    if (config.rope_parameters or {}).get("rope_type") == "llama3":
        yield "rope_freqs.weight", _frequencies(config)
    for name, tensor in read_tensors(merged):
        if name.endswith(_RESTS) or (name == "lm_head.weight" and config.tie_word_embeddings):
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise NotReady(
                f"GGUF has no place for the model's tensor {name}. Export it merged, and convert it with llama.cpp's "
                "own convert_hf_to_gguf.py.",
                reason="GGUF_UNSUPPORTED",
            )
        if shapes_only:
            yield found, np.broadcast_to(np.float32(0), tuple(tensor.shape))
        else:
            yield found, _in_order(name, tensor.float().numpy(), config)


def _in_order(name: str, values: NDArray[np.float32], config: Any) -> NDArray[np.float32]:
    """Turn the rows of a Llama's queries and keys: transformers keeps the halves of a rotation apart, GGUF in pairs."""
    if architecture(config) is not MODEL_ARCH.LLAMA or (".q_proj." not in name and ".k_proj." not in name):
        return values
    heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
    pairs = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(values.shape))


def _frequencies(config: Any) -> NDArray[np.float32]:
    """Return the factors of Llama 3's longer context, one for each pair of a head."""
    rope = config.rope_parameters
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    factor, low, high = float(rope["factor"]), float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    length = float(rope["original_max_position_embeddings"])
    waves = 2 * math.pi * float(rope["rope_theta"]) ** (np.arange(0, width, 2, dtype=np.float64) / width)
    smooth = (length / waves - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(waves < length / high, 1.0, np.where(waves > length / low, factor, between)).astype(np.float32)


def _error(values: NDArray[np.float32], made: NDArray[Any], kind: Type) -> float:
    size = float(np.sqrt(np.mean(np.square(values))))
    if kind is Type.F32 or size == 0:
        return 0.0
    # Rows enough to see a mistake; a vocabulary's whole matrix would take longer than its rounding.
    rows = slice(0, 256) if values.ndim > 1 else slice(None)
    difference = dequantize(made[rows], kind) - values[rows]
    return float(np.sqrt(np.mean(np.square(difference)))) / size
