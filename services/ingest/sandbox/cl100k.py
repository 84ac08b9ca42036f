"""cl100k_base: counted by gigatoken, which gives tiktoken's tokens at many times its speed.

The two look up letters and digits in different versions of Unicode. A text with code points on which they do not agree
is left to tiktoken, so that the tokens are always tiktoken's.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from services.common.errors import InvalidArgument
from services.common.ranks import NAME
from services.ingest.core.tokens import Tokenizer

_JOINT = r"(?<=\S)(?= )|(?<=\n)(?=\S)|(?<=[0-9A-Za-z\u4e00-\u9fa5])(?=[\n!-/:-@\[-`{-~，。、！？；：])"
"""Where cl100k_base always divides a text: its pattern looks at nothing before a place, takes a space only as the first
of a piece, goes on from a letter or a digit with nothing but such, and from a line end with nothing but white space."""

_PIECE = 262_144

_NEWER = (
    "88f c5c cdc a7ce-a7cf a7d2 a7d4 a7f1 10940-10959 10ec5-10ec7 11db0-11ddb 11de0-11de9 16ea0-16eb8 16ebb-16ed3 "
    "16ff2-16ff6 187f8-187ff 18d09-18d1e 18d80-18df2 1e6c0-1e6de 1e6e0-1e6e2 1e6e4-1e6e5 1e6e7-1e6ed 1e6f0-1e6f4 "
    "1e6fe-1e6ff 2b73a-2b73f 2cea2-2cead 323b0-33479"
)
"""Letters and digits of Unicode 17, which tiktoken 0.14 does not know for such."""

_MOST_REMEMBERED = 16 << 20
"""Code points after which the tokenizer begins anew: it remembers each word, at about 12 bytes a byte of new ones."""


@cache
def cl100k_base(folder: str) -> Tokenizer:
    """Return cl100k_base from tiktoken's rank file in a folder.

    Raises:
        InvalidArgument: no folder is named.
    """
    if not folder:
        raise InvalidArgument("TIKTOKEN_CACHE_DIR is not set. Name a folder that holds cl100k_base.")
    encoding = _Encoding(Path(folder) / NAME)
    return Tokenizer(encoding.starts, encoding.count, _JOINT, _PIECE)


def rehearse() -> None:
    """Load it from TIKTOKEN_CACHE_DIR, so that those who are forked have it."""
    folder = os.environ["TIKTOKEN_CACHE_DIR"]
    if (Path(folder) / NAME).is_file():
        cl100k_base(folder).encode("Once, and for all.")


class _Encoding:
    """Counts tokens and says where they begin.

    Args:
        ranks: tiktoken's file.
    """

    def __init__(self, ranks: Path) -> None:
        import numpy

        self._ranks = ranks
        self._fast = self._loaded()
        self._seen = 0
        ranges = [[int(end, 16) for end in points.split("-")] for points in _NEWER.split()]
        self._oldest = ranges[0][0]
        self._newer = numpy.zeros(0x110000, numpy.bool_)
        for found in ranges:
            self._newer[found[0] : found[-1] + 1] = True
        vocabulary = self._fast.vocab
        self._begun = numpy.zeros(max(vocabulary) + 1, numpy.uint8)
        self._inside = numpy.zeros(max(vocabulary) + 1, numpy.uint8)
        for token, content in vocabulary.items():
            self._begun[token] = len(content) if content.isascii() else sum(byte & 0xC0 != 0x80 for byte in content)
            self._inside[token] = content[0] & 0xC0 == 0x80

    def _loaded(self) -> Any:
        from gigatoken import Tokenizer as Gigatoken

        return Gigatoken.from_tiktoken(self._ranks, "cl100k", {})

    def _tokens(self, text: str) -> Any:
        """Return the tokens as an array of numpy's."""
        if not text.isascii() and self._has_newer(text):
            return self._by_tiktoken(text)
        self._seen += len(text)
        if self._seen > _MOST_REMEMBERED:
            self._fast, self._seen = self._loaded(), len(text)
        return self._fast.encode(text)

    def _has_newer(self, text: str) -> bool:
        import numpy

        points = numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), numpy.uint32)
        return bool(self._newer[points[points >= self._oldest]].any())

    @staticmethod
    def _by_tiktoken(text: str) -> Any:
        import tiktoken

        return tiktoken.get_encoding("cl100k_base").encode_to_numpy(text, disallowed_special=())

    def count(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self._tokens(text))

    def starts(self, text: str) -> Sequence[int]:
        """Return the code point at which each token begins, or for one that begins within a code point, that one."""
        import numpy

        tokens = self._tokens(text)
        begun = self._begun[tokens]
        starts = numpy.cumsum(begun, dtype=numpy.uint32) - begun
        if not text.isascii():
            starts -= self._inside[tokens]
        return array("I", starts.astype(numpy.uint32).tobytes())
