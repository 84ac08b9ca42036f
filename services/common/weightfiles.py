"""Which of a run's artifacts are the files of its weights and of its tokenizer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

A = TypeVar("A", bound=Mapping[str, Any])
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
MODEL_FILES = ("config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json")
TOKENIZER_FILES = (
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "chat_template.*"),
    *("vocab.json", "vocab.txt", "merges.txt", "*.model"),
)
"""What transformers' tokenizers write."""


def adapter_files(artifacts: Sequence[A]) -> list[A]:
    """Return the adapter's files among a run's artifacts; each has a filename, maybe with folders."""
    return _of(artifacts, ADAPTER_FILES)


def model_files(artifacts: Sequence[A]) -> list[A]:
    """Return the files of the whole model among the artifacts of a run that trained every weight."""
    return _of(artifacts, MODEL_FILES)


def loaded_files(artifacts: Sequence[A]) -> list[A]:
    """Return the files that a run's tuned model and its tokenizer are loaded from."""
    return _of(artifacts, (*ADAPTER_FILES, *MODEL_FILES, *TOKENIZER_FILES))


def _of(artifacts: Sequence[A], forms: Sequence[str]) -> list[A]:
    return [a for a in artifacts if any(fnmatchcase(a["filename"].rpartition("/")[2], form) for form in forms)]
