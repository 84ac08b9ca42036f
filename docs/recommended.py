"""What is recommended instead of the defaults: a section of the page of defaults, in the words of the code."""

from __future__ import annotations

from collections.abc import Iterator

from services.hardware.core_choice import Dataset, Decided
from services.hardware.core_memory import Device
from services.hardware.core_parameters import shape
from services.hardware.core_recommend import recommend

_GIB = 1 << 30
SMALL = {
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}
LARGE = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
CASES = {
    "SmolLM2 135M, 60 examples of up to 210 tokens, a CPU with 8 GiB": (
        SMALL,
        Dataset(60, 210),
        Device("cpu", 8 * _GIB, 8 * _GIB),
    ),
    "Llama 3 8B, 5,000 examples of up to 1,900 tokens, a GPU of 24 GiB": (
        LARGE,
        Dataset(5000, 1900),
        Device("cuda", 24 * _GIB, 24 * _GIB, bf16=True),
    ),
    "The same, a GPU of 80 GiB": (LARGE, Dataset(5000, 1900), Device("cuda", 80 * _GIB, 80 * _GIB, bf16=True)),
}
"""Title → configuration of a model, what is known of the examples, and a machine."""

_INTRODUCTION = """
## What is recommended instead

What `ftf hardware` recommends, and `ftf run` and `ftf train` take where a setting is left open. It depends on the
model, the examples and the machine; three cases, each sentence the program's own. Rank, epochs, batch and learning rate
follow rules of thumb of this project, not a paper; what was decided is kept.
"""


def section() -> str:
    """Return the section."""
    return _INTRODUCTION + "".join(
        f"\n### {title}\n\n" + "".join(f"- {sentence}\n" for sentence in _reasons(title)) for title in CASES
    )


def _reasons(title: str) -> Iterator[str]:
    config, dataset, device = CASES[title]
    model = shape(config)
    yield from recommend(model, model.parameters, dataset, device, Decided(method_open=True)).reasons
