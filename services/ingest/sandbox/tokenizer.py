"""Tokenizers: a model's own, or cl100k_base."""

from __future__ import annotations

import os
from pathlib import Path

from services.common.errors import InvalidArgument
from services.ingest.core.tokens import Tokenizer
from services.ingest.sandbox.joints import joint_of


def load_tokenizer(path: str) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json, or for "" cl100k_base out of TIKTOKEN_CACHE_DIR.

    Special tokens are not added; those written out in a text count as the tokenizer counts them.

    Raises:
        InvalidArgument: the file is no tokenizer (MODEL_INVALID).
    """
    if path:
        return _from_file(Path(path))
    from services.ingest.sandbox.cl100k import cl100k_base

    return cl100k_base(os.environ.get("TIKTOKEN_CACHE_DIR", ""))


def _from_file(path: Path) -> Tokenizer:
    import tokenizers

    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise InvalidArgument(
            "The model's tokenizer.json cannot be read. Register the model again from a complete folder.",
            reason="MODEL_INVALID",
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(text: str) -> list[int]:
        # Offsets are code points. A token that a normaliser made of nothing repeats the one before, so order holds.
        return [start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets]

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    return Tokenizer(encode, count, joint_of(tokenizer))
