"""Tokenizers: a model's own, or cl100k_base."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import tiktoken

from services.common.errors import InvalidArgument
from services.ingest.core.tokens import Tokenizer

_JOINT = r"(?<=\S)(?= )|(?<=\n)(?=\S)|(?<=[0-9A-Za-z\u4e00-\u9fa5])(?=[\n!-/:-@\[-`{-~，。、！？；：])"
"""Where cl100k_base always divides a text: its pattern looks at nothing before a place, takes a space only as the first
of a piece, goes on from a letter or a digit with nothing but such, and from a line end with nothing but white space."""

_PIECE = 262_144
_LONG = 16_384
"""From how many code points on numpy saves more time than its import takes."""


def load_tokenizer(path: str) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json, or for "" cl100k_base out of TIKTOKEN_CACHE_DIR.

    Special tokens are not added; those written out in a text count as the tokenizer counts them.

    Raises:
        InvalidArgument: the file is no tokenizer (MODEL_INVALID).
    """
    return _from_file(Path(path)) if path else _cl100k_base()


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

    return Tokenizer(encode, count)


def _cl100k_base() -> Tokenizer:
    if not os.environ.get("TIKTOKEN_CACHE_DIR"):
        raise InvalidArgument("TIKTOKEN_CACHE_DIR is not set. Name a folder that holds cl100k_base.")
    encoding = tiktoken.get_encoding("cl100k_base")
    begun = _Begun(encoding)

    def encode(text: str) -> Sequence[int]:
        if len(text) >= _LONG:
            return begun.of_long(text)
        tokens = encoding.encode_ordinary(text)
        starts = array("I", accumulate(map(begun.__getitem__, tokens), initial=0))
        starts.pop()
        if not text.isascii() and not begun.within.isdisjoint(tokens):
            for place, token in enumerate(tokens):
                if token in begun.within:
                    starts[place] -= 1
        return starts

    return Tokenizer(encode, lambda text: len(encoding.encode_ordinary(text)), _JOINT, _PIECE)


class _Begun(dict[int, int]):
    """How many code points begin in a token.

    Attributes:
        within: tokens that begin within a code point, to which they belong.
    """

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding
        self._table = array("i", [-1]) * encoding.n_vocab
        self._inside = bytearray(encoding.n_vocab)
        self.within: set[int] = set()

    def __missing__(self, token: int) -> int:
        content = self._encoding.decode_single_token_bytes(token)
        begun = self[token] = self._table[token] = sum(1 for byte in content if byte & 0xC0 != 0x80)
        if content[0] & 0xC0 == 0x80:
            self.within.add(token)
            self._inside[token] = 1
        return begun

    def of_long(self, text: str) -> Sequence[int]:
        """Return where the tokens of a text begin, with numpy."""
        import numpy

        table = numpy.frombuffer(self._table, numpy.int32)
        tokens = self._encoding.encode_to_numpy(text, disallowed_special=())
        for token in set(tokens[table[tokens] < 0].tolist()):
            self[token]
        begun = table[tokens]
        starts = numpy.cumsum(begun) - begun
        if not text.isascii() and self.within:
            starts -= numpy.frombuffer(self._inside, numpy.uint8)[tokens]
        return array("I", starts.astype(numpy.uint32).tobytes())
