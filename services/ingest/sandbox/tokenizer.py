"""Tokenizers: a model's own, or cl100k_base."""

from __future__ import annotations

import os
from pathlib import Path

from services.common.errors import InvalidArgument
from services.ingest.core.tokens import Encode


def load_tokenizer(path: str) -> Encode:
    """Return the tokenizer of a tokenizer.json, or for "" cl100k_base out of TIKTOKEN_CACHE_DIR.

    Special tokens are not added; those written out in a text count as the tokenizer counts them.

    Raises:
        InvalidArgument: the file is no tokenizer (MODEL_INVALID).
    """
    return _from_file(Path(path)) if path else _cl100k_base()


def _from_file(path: Path) -> Encode:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
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

    return encode


def _cl100k_base() -> Encode:
    import tiktoken

    if not os.environ.get("TIKTOKEN_CACHE_DIR"):
        raise InvalidArgument("TIKTOKEN_CACHE_DIR is not set. Name a folder that holds cl100k_base.")
    encoding = tiktoken.get_encoding("cl100k_base")

    def encode(text: str) -> list[int]:
        return list(encoding.decode_with_offsets(encoding.encode_ordinary(text))[1])

    return encode
