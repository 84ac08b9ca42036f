"""What a model's files say about it, and which sets of files are a model at all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.errors import InvalidArgument, NotReady
from services.hardware.core_parameters import MAX_DIMENSION, shape
from services.hardware.core_safetensors import DTYPES, Tensor, broken

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
README = "README.md"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

MAX_JSON = 8_000_000
"""Largest config.json, tokenizer_config.json or README.md, in bytes."""

MAX_TOKENIZER = 100_000_000
"""Largest tokenizer.json, in bytes."""

MAX_INDEX = 50_000_000
"""Largest model.safetensors.index.json, in bytes."""

MAX_FILES = 2000
"""Most files of a model."""

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_PARTS = (".safetensors", ".json", ".jinja", ".txt", ".model", ".md")
_LICENSE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE")
_LICENSE_TEXTS = (
    ("apache license", "apache-2.0"),
    ("mit license", "mit"),
    ("llama 3.3 community license", "llama3.3"),
    ("llama 3.2 community license", "llama3.2"),
    ("llama 3.1 community license", "llama3.1"),
    ("meta llama 3 community license", "llama3"),
    ("llama 2 community license", "llama2"),
    ("gemma terms of use", "gemma"),
)
# Stored by some old checkpoints, but computed and not trained: positions' frequencies, GPT-2's causal mask.
_BUFFERS = re.compile(r"rotary_emb\.inv_freq$|(^|\.)attn\.masked_bias$")
_CAUSAL_MASK = re.compile(r"(^|\.)attn\.bias$")


@dataclass(frozen=True)
class File:
    """One file of a model; sha256 is "" where it is not known."""

    filename: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """A model as its files describe it. Sizes that an unknown architecture does not tell are 0.

    `config` holds the entries of config.json that the memory arithmetic reads; `tokenizer` the bytes of tokenizer.json;
    `chat` the chat template and what it needs (services.common.chat.document), empty without one.
    """

    revision: str
    files: tuple[File, ...]
    config: Mapping[str, Any]
    parameters: int
    dtype: str
    license: str
    gated: bool
    tokenizer: bytes
    chat: bytes

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(self.chat)


@dataclass(frozen=True)
class Sizes:
    """A model's dimensions, as far as config.json tells."""

    architecture: str
    context_length: int
    vocab_size: int
    layers: int
    hidden_size: int
    attention_heads: int
    key_value_heads: int
    intermediate_size: int


def is_pickle(name: str) -> bool:
    """Whether a file's name is one of pickled weights."""
    return name.endswith(_PICKLES)


def is_part(name: str) -> bool:
    """Whether a file may be part of a model in the Hugging Face layout: weights, settings, licence; no code."""
    return name.endswith(_PARTS) or name in _LICENSE_FILES


def invalid(message: str) -> InvalidArgument:
    """Return the error for a folder that is not a model; the message ends with the remedy."""
    return InvalidArgument(message, reason="MODEL_INVALID")


def weight_files(names: Iterable[str], where: str) -> str:
    """Return the file that leads to the weights: model.safetensors, or the index of its parts.

    Raises:
        InvalidArgument: there are only pickle weights (PICKLE_WEIGHTS), or none (MODEL_INVALID).
    """
    present = set(names)
    for name in (WEIGHTS, INDEX):
        if name in present:
            return name
    if "adapter_model.safetensors" in present:
        raise invalid(f"{where} is an adapter, not a model. Use its base model.")
    if any(name.endswith(".safetensors") for name in present):
        raise invalid(f"{where} has safetensors files but neither {WEIGHTS} nor {INDEX}. Copy the whole model.")
    if any(name.endswith(_PICKLES) for name in present):
        raise InvalidArgument(
            f"{where} has only pickle weights, which can run code when they are loaded. Use a model with safetensors.",
            reason="PICKLE_WEIGHTS",
        )
    raise invalid(f"{where} has no weights: no {WEIGHTS}. Copy the whole model.")


def shards(index: object, present: Iterable[str]) -> dict[str, str]:
    """Return which file holds which tensor, as an index says.

    Raises:
        InvalidArgument: the index is damaged, or names a file that is not there (MODEL_INVALID).
    """
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found.values()):
        raise broken(INDEX, 'has no "weight_map"')
    missing = sorted(set(found.values()) - set(present))
    if missing:
        raise invalid(f"{missing[0][:200]} is missing ({len(missing)} of the files that {INDEX} names). Copy it too.")
    return found


def check_shard(filename: str, weight_map: Mapping[str, str], stored: Mapping[str, Tensor]) -> None:
    """Refuse a part that lacks a tensor that the index places there.

    Raises:
        InvalidArgument: so it is (MODEL_INVALID).
    """
    lacking = next((name for name, file in weight_map.items() if file == filename and name not in stored), None)
    if lacking is not None:
        raise broken(filename, f'lacks the tensor "{lacking[:200]}" that {INDEX} places there')


def check_config(config: object) -> dict[str, Any]:
    """Return a config.json that describes a model for causal language modelling.

    Raises:
        InvalidArgument: it does not (MODEL_INVALID).
    """
    if not isinstance(config, dict):
        raise broken(CONFIG, "is not a JSON object")
    named = config.get("architectures")
    if not isinstance(named, list) or not named or not isinstance(named[0], str):
        raise invalid(f'{CONFIG} names no architecture. Use a model whose {CONFIG} has "architectures".')
    causal = named[0].endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"))
    if not causal or config.get("is_encoder_decoder"):
        raise invalid(f"{named[0][:80]} does not generate text from left to right. Use a causal language model.")
    return config


def read_sizes(config: Mapping[str, Any]) -> Sizes:
    """Return the dimensions; of an unknown architecture those that go by the usual names."""
    try:
        known = shape(config)
    except NotReady:
        return _usual_sizes(config)
    return Sizes(
        architecture=str(config["architectures"][0]),
        context_length=known.context,
        vocab_size=known.vocab,
        layers=known.layers,
        hidden_size=known.hidden,
        attention_heads=known.heads,
        key_value_heads=known.kv_heads,
        intermediate_size=known.intermediate,
    )


def _usual_sizes(config: Mapping[str, Any]) -> Sizes:
    inner = config.get("text_config")
    text: Mapping[str, Any] = {**config, **inner} if isinstance(inner, dict) else config

    def number(key: str) -> int:
        value = text.get(key)
        return value if type(value) is int and 0 < value <= MAX_DIMENSION else 0

    return Sizes(
        architecture=str(config["architectures"][0])[:200],
        context_length=number("max_position_embeddings"),
        vocab_size=number("vocab_size"),
        layers=number("num_hidden_layers"),
        hidden_size=number("hidden_size"),
        attention_heads=number("num_attention_heads"),
        key_value_heads=number("num_key_value_heads") or number("num_attention_heads"),
        intermediate_size=number("intermediate_size"),
    )


def count_weights(stored: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[int, str]:
    """Return the number of parameters that are stored, tied ones once, and the type of most of them.

    Of quantised weights, which pack several numbers into one, config.json tells the number where it can.

    Raises:
        InvalidArgument: there are none, or fewer than config.json describes (MODEL_INVALID).
    """
    kept = {name: tensor for name, tensor in stored.items() if not _computed(name, tensor)}
    try:
        known = shape(config)
    except NotReady:
        known = None
    if known and known.tied and len(kept) > 1:
        kept.pop("lm_head.weight", None)
    by_dtype: dict[str, int] = {}
    for tensor in kept.values():
        by_dtype[tensor.dtype] = by_dtype.get(tensor.dtype, 0) + tensor.count
    total = sum(by_dtype.values())
    if not total:
        raise invalid(f"{WEIGHTS} holds no weights. Copy or download the model again.")
    commonest = max(by_dtype, key=lambda name: by_dtype[name])
    dtype = DTYPES.get(commonest, (commonest.lower(), 0))[0]
    if known and config.get("quantization_config"):
        return known.parameters, dtype
    if known and total < known.parameters:
        raise invalid(
            f"The weights hold {total:,} parameters, {CONFIG} describes {known.parameters:,}. Copy the whole model, "
            f"and the {CONFIG} that belongs to it."
        )
    return total, dtype


def _computed(name: str, tensor: Tensor) -> bool:
    return bool(_BUFFERS.search(name)) or bool(_CAUSAL_MASK.search(name) and len(tensor.shape) == 4)


def folder_revision(files: Sequence[File]) -> str:
    """Return the revision of a folder: SHA-256 over the lines "name sha256" of its files, sorted by name.

    Each line ends with a newline, the names are in UTF-8; files in folders below and those whose name begins with "."
    do not count.
    """
    lines = sorted(f"{file.filename} {file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def license_file(names: Iterable[str]) -> str:
    """Return the name of the licence among the files, or ""."""
    present = set(names)
    return next((name for name in _LICENSE_FILES if name in present), "")


def license_of_text(text: str) -> str:
    """Return the hub's name of a licence from its text: "apache-2.0"; "other" for one that is not recognised."""
    head = " ".join(text[:2000].lower().split())
    return next((name for words, name in _LICENSE_TEXTS if words in head), "other")


def kept_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a config.json that are worth keeping: short ones, so that the document stays small."""
    short = (str, int, float, bool, type(None))
    kept: dict[str, Any] = {k: v for k, v in config.items() if isinstance(v, short) and len(k) + len(str(v)) < 300}
    kept["architectures"] = [str(config["architectures"][0])[:200]]
    if config.get("quantization_config"):
        kept["quantization_config"] = True
    return {k: v for k, v in kept.items() if "." not in k and not k.startswith("$")}
