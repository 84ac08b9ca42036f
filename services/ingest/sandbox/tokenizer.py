"""Tokenizers: a model's own, or cl100k_base."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from services.common.errors import InvalidArgument
from services.ingest.core.tokens import Count, Encode

# 1 for each byte of UTF-8 that begins a code point, 0 for the others.
_BEGINS = bytes(0 if byte & 0xC0 == 0x80 else 1 for byte in range(256))


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer.

    Args:
        encode: where the tokens of a text begin.
        count: how many tokens a text has; the same as the length of what encode returns, but faster.
    """

    encode: Encode
    count: Count


def load_tokenizer(path: str) -> LoadedTokenizer:
    """Return the tokenizer of a tokenizer.json, or for "" cl100k_base out of TIKTOKEN_CACHE_DIR.

    Special tokens are not added; those written out in a text count as the tokenizer counts them.

    Raises:
        InvalidArgument: the file is no tokenizer (MODEL_INVALID).
    """
    return _from_file(Path(path)) if path else _cl100k_base()


def _from_file(path: Path) -> LoadedTokenizer:
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

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    return LoadedTokenizer(encode, count)


def _cl100k_base() -> LoadedTokenizer:
    import tiktoken

    if not os.environ.get("TIKTOKEN_CACHE_DIR"):
        raise InvalidArgument("TIKTOKEN_CACHE_DIR is not set. Name a folder that holds cl100k_base.")
    encoding = tiktoken.get_encoding("cl100k_base")
    lengths: dict[int, int] = {}

    def encode(text: str) -> Sequence[int]:
        tokens = encoding.encode_ordinary(text)
        for token in set(tokens).difference(lengths):
            lengths[token] = len(encoding.decode_single_token_bytes(token))
        ends = accumulate(map(lengths.__getitem__, tokens))
        starts = [0, *ends][:-1]
        if text.isascii():
            return starts
        # A token that begins within a code point belongs to it.
        order = list(accumulate(text.encode("utf-8", "replace").translate(_BEGINS)))
        return [order[start] - 1 for start in starts]

    return LoadedTokenizer(encode, lambda text: len(encoding.encode_ordinary(text)))
