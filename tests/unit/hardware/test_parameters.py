"""Parameter counts, against the classes that the counts are about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.common.errors import InvalidArgument, NotReady
from services.hardware.core_adapter import adapter_parameters
from services.hardware.core_parameters import shape

# transformers warns of its own names that peft still uses.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

SMALL = {"vocab_size": 1000, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}

# Real configurations (their sizes), and small ones for each switch that changes the shape.
CONFIGS: dict[str, dict[str, Any]] = {
    "llama-3.2-1b": {
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "llama-2-7b": {
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32,
    },
    "smollm2-135m": {
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
    },
    "llama-biased": {"model_type": "llama", **SMALL, **HEADS, "attention_bias": True, "mlp_bias": True},
    "qwen2.5-0.5b": {
        "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "qwen2-untied": {"model_type": "qwen2", **SMALL, **HEADS},
    "qwen3-0.6b": {
        "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "tie_word_embeddings": True,
    },
    "qwen3-defaults": {"model_type": "qwen3", **SMALL, **HEADS, "attention_bias": True},
    "mistral-7b": {
        "model_type": "mistral", "vocab_size": 32768, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    },
    "mistral-nemo-like": {"model_type": "mistral", **SMALL, **HEADS, "head_dim": 32},
    "llama-null-groups": {"model_type": "llama", **SMALL, "num_attention_heads": 4, "num_key_value_heads": None},
    "mistral-defaults": {"model_type": "mistral", **SMALL, "num_attention_heads": 16, "head_dim": 4},
    "gemma-2b": {
        "model_type": "gemma", "vocab_size": 256000, "hidden_size": 2048, "intermediate_size": 16384,
        "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256,
    },
    "gemma-untied": {"model_type": "gemma", **SMALL, **HEADS, "tie_word_embeddings": False},
    "gemma-2-2b": {
        "model_type": "gemma2", "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
    },
    "phi-3-mini": {
        "model_type": "phi3", "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "pad_token_id": 0,
    },
    "phi-3-medium-like": {"model_type": "phi3", **SMALL, **HEADS, "pad_token_id": 0},
    "gpt2": {"model_type": "gpt2"},
    "gpt2-narrow": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 100, "n_positions": 128},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_count_from_the_config_is_that_of_the_real_class(name: str) -> None:
    """The class is built without memory, on the meta device."""
    torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")
    transformers = pytest.importorskip("transformers")
    config = CONFIGS[name]
    real = transformers.AutoConfig.for_model(**config)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(real)

    assert shape(config).parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("targets", [[], ["q_proj", "v_proj"], ["mlp.down_proj"], ["o_proj", "lm_head"]])
@pytest.mark.parametrize("name", ["llama-biased", "qwen2-untied", "mistral-nemo-like", "gemma-untied"])
def test_an_adapter_has_the_size_that_peft_gives_it(name: str, targets: list[str]) -> None:
    """Exact, for every linear layer and for chosen ones."""
    assert _adapter(CONFIGS[name], targets) == _peft_adapter(CONFIGS[name], targets)


@pytest.mark.parametrize("targets", [[], ["c_attn"], ["c_proj"], ["attn.c_proj"], ["wte"]])
def test_a_name_that_stands_for_several_modules_counts_for_each(targets: list[str]) -> None:
    """GPT-2 has a c_proj in its attention and one in its feed-forward layer."""
    assert _adapter(CONFIGS["gpt2-narrow"], targets) == _peft_adapter(CONFIGS["gpt2-narrow"], targets)


def test_fused_projections_get_one_adapter_each() -> None:
    """Phi-3 computes queries, keys and values with one matrix."""
    config = CONFIGS["phi-3-medium-like"]

    assert _adapter(config, []) == _peft_adapter(config, [])


def test_a_target_that_the_model_does_not_have_is_refused_with_those_that_it_has() -> None:
    """PEFT would only say so after the model is loaded."""
    with pytest.raises(InvalidArgument, match=r"no module \"query\".*q_proj") as caught:
        _adapter(CONFIGS["qwen2-untied"], ["query"])

    assert caught.value.field == "config.lora.target_modules"


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]},
        {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"], **SMALL, **HEADS},
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "add_cross_attention": True},
        {},
    ],
)
def test_an_architecture_that_is_not_known_is_refused_rather_than_guessed(config: dict[str, Any]) -> None:
    """A wrong number would be worse than none."""
    with pytest.raises(NotReady) as caught:
        shape(config)

    assert caught.value.reason == "ARCHITECTURE_UNKNOWN"


@pytest.mark.parametrize("value", [0, -1, 1.5, "64", True, 1 << 60, None, [64]])
def test_a_size_that_is_no_size_is_refused(value: object) -> None:
    """config.json comes from outside."""
    with pytest.raises(InvalidArgument, match="hidden_size") as caught:
        shape({"model_type": "llama", **SMALL, **HEADS, "hidden_size": value})

    assert caught.value.reason == "MODEL_INVALID"


def _adapter(config: dict[str, Any], targets: list[str]) -> int:
    return adapter_parameters(shape(config), 4, targets)


def _peft_adapter(config: dict[str, Any], targets: list[str]) -> int:
    torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    real = transformers.AutoConfig.for_model(**json.loads(json.dumps(config)))
    lora = peft.LoraConfig(
        r=4,
        target_modules=targets or "all-linear",
        task_type="CAUSAL_LM",
        fan_in_fan_out=config["model_type"] == "gpt2",
    )
    with torch.device("meta"):
        model = peft.get_peft_model(transformers.AutoModelForCausalLM.from_config(real), lora)
    return int(sum(p.numel() for p in model.parameters() if p.requires_grad))
