"""Shapes and exact parameter counts of decoder models, from config.json alone.

The classes of transformers fix which matrices a model has; this module writes those down as a small table, so that no
service needs torch. Tied embeddings count once. Tests compare every family with the real classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.common.errors import InvalidArgument, NotReady

MAX_DIMENSION = 1 << 24
"""Largest size believed in a config.json; nothing real comes near, and products stay within 64 bits."""


@dataclass(frozen=True)
class Linear:
    """One linear layer: `path` is its name inside a transformer layer, such as "self_attn.q_proj"."""

    path: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + (self.outputs if self.bias else 0)


@dataclass(frozen=True)
class Shape:
    """A model's dimensions.

    `linears` and `norms` (parameters in norms) are those of one layer; `outside` counts what lies outside the layers
    beside the token embedding and the output: the last norm, position embeddings. `gated` says whether the
    feed-forward layer has a gate.
    """

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    context: int
    tied: bool
    gated: bool
    linears: tuple[Linear, ...]
    norms: int
    outside: int

    @property
    def parameters(self) -> int:
        """Exact number of parameters, tied ones once."""
        layer = sum(linear.parameters for linear in self.linears) + self.norms
        return self.layers * layer + self.vocab * self.hidden * (1 if self.tied else 2) + self.outside


@dataclass(frozen=True)
class _Family:
    """What a model type's class does where config.json is silent, and which layers it has.

    `head_dim` 0 means hidden_size / num_attention_heads; `kv_heads` 0 means num_attention_heads. `attention_bias`:
    biases on "qkv" always, on all four where config.json says so ("config"), or "none".
    """

    tied: bool = False
    head_dim: int = 0
    kv_heads: int = 0
    attention_bias: Literal["qkv", "config", "none"] = "none"
    mlp_bias: bool = False
    fused: bool = False
    hidden_norms: int = 2
    head_norms: int = 0
    context: int = 0


_FAMILIES: Mapping[str, _Family] = {
    "llama": _Family(attention_bias="config", mlp_bias=True, context=2048),
    "qwen2": _Family(attention_bias="qkv", kv_heads=32, context=32768),
    "qwen3": _Family(attention_bias="config", kv_heads=32, head_dim=128, head_norms=2, context=32768),
    "mistral": _Family(kv_heads=8, context=131072),
    "gemma": _Family(tied=True, attention_bias="config", kv_heads=16, head_dim=256, context=8192),
    "gemma2": _Family(tied=True, attention_bias="config", kv_heads=4, head_dim=256, hidden_norms=4, context=8192),
    "phi3": _Family(fused=True, context=4096),
}

KNOWN = (*_FAMILIES, "gpt2")
"""Values of "model_type" whose parameters can be counted."""

_GENERATES = ("ForCausalLM", "LMHeadModel")


def shape(config: Mapping[str, Any]) -> Shape:
    """Return the shape that a config.json describes.

    Raises:
        NotReady: the model type or architecture is not known (ARCHITECTURE_UNKNOWN).
        InvalidArgument: a known one with a size that is missing or not a number in range (MODEL_INVALID).
    """
    kind = config.get("model_type")
    architectures = config.get("architectures") or ["ForCausalLM"]
    if kind not in KNOWN or not str(architectures[0]).endswith(_GENERATES) or config.get("add_cross_attention"):
        raise NotReady(
            f'The memory arithmetic does not know the architecture "{str(kind)[:80]}" ({str(architectures[0])[:80]}). '
            f"Train without an estimate, or choose one of: {', '.join(KNOWN)}.",
            reason="ARCHITECTURE_UNKNOWN",
        )
    return _gpt2(config) if kind == "gpt2" else _llama_like(config, str(kind), _FAMILIES[str(kind)])


def _llama_like(config: Mapping[str, Any], kind: str, family: _Family) -> Shape:
    """Everything that descends from Llama: RMS norms, rotary positions, a gated feed-forward layer."""
    hidden, heads = size(config, "hidden_size"), size(config, "num_attention_heads")
    # An absent key means the class's default; an explicit null means "as many as there are heads".
    absent = heads if "num_key_value_heads" in config else family.kv_heads or heads
    kv_heads = size(config, "num_key_value_heads", absent)
    head_dim = size(config, "head_dim", family.head_dim or max(1, hidden // heads))
    if kind == "phi3":
        head_dim = max(1, hidden // heads)
    intermediate = size(config, "intermediate_size")
    linears = _attention(config, family, hidden, heads * head_dim, kv_heads * head_dim)
    linears += _gated_mlp(family, hidden, intermediate, bool(config.get("mlp_bias")) and family.mlp_bias)
    return Shape(
        family=kind,
        layers=size(config, "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=intermediate,
        vocab=size(config, "vocab_size"),
        context=size(config, "max_position_embeddings", family.context),
        tied=_tied(config, family.tied),
        gated=True,
        linears=linears,
        norms=family.hidden_norms * hidden + family.head_norms * head_dim,
        outside=hidden,
    )


def _attention(config: Mapping[str, Any], family: _Family, hidden: int, q: int, kv: int) -> tuple[Linear, ...]:
    everywhere = family.attention_bias == "config" and bool(config.get("attention_bias"))
    inner = everywhere or family.attention_bias == "qkv"
    out = Linear("self_attn.o_proj", q, hidden, everywhere)
    if family.fused:
        return (Linear("self_attn.qkv_proj", hidden, q + 2 * kv, inner), out)
    return (
        Linear("self_attn.q_proj", hidden, q, inner),
        Linear("self_attn.k_proj", hidden, kv, inner),
        Linear("self_attn.v_proj", hidden, kv, inner),
        out,
    )


def _gated_mlp(family: _Family, hidden: int, intermediate: int, bias: bool) -> tuple[Linear, ...]:
    down = Linear("mlp.down_proj", intermediate, hidden, bias)
    if family.fused:
        return (Linear("mlp.gate_up_proj", hidden, 2 * intermediate, bias), down)
    return (
        Linear("mlp.gate_proj", hidden, intermediate, bias),
        Linear("mlp.up_proj", hidden, intermediate, bias),
        down,
    )


def _gpt2(config: Mapping[str, Any]) -> Shape:
    """GPT-2: layer norms with biases, learned positions, biases everywhere, its own names for its sizes."""
    hidden, heads = size(config, "n_embd", 768), size(config, "n_head", 12)
    intermediate, context = size(config, "n_inner", 4 * hidden), size(config, "n_positions", 1024)
    return Shape(
        family="gpt2",
        layers=size(config, "n_layer", 12),
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=max(1, hidden // heads),
        intermediate=intermediate,
        vocab=size(config, "vocab_size", 50257),
        context=context,
        tied=_tied(config, True),
        gated=False,
        linears=(
            Linear("attn.c_attn", hidden, 3 * hidden, True),
            Linear("attn.c_proj", hidden, hidden, True),
            Linear("mlp.c_fc", hidden, intermediate, True),
            Linear("mlp.c_proj", intermediate, hidden, True),
        ),
        norms=4 * hidden,
        outside=2 * hidden + context * hidden,
    )


def _tied(config: Mapping[str, Any], default: bool) -> bool:
    value = config.get("tie_word_embeddings")
    return default if value is None else bool(value)


def size(config: Mapping[str, Any], key: str, default: int = 0) -> int:
    """Return a size of config.json; where it is absent or null, the default, if that is not 0.

    Raises:
        InvalidArgument: missing without a default, or not a whole number from 1 to 16,777,216 (MODEL_INVALID).
    """
    value = config.get(key)
    if value is None and default:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_DIMENSION:
        raise InvalidArgument(
            f'config.json: "{key}" is {str(value)[:40]}, not a whole number from 1 to {MAX_DIMENSION}. '
            "Use the config.json that belongs to the model.",
            reason="MODEL_INVALID",
        )
    return value
