"""cl100k_base: counted by gigatoken, which gives tiktoken's tokens at many times its speed.

The two look up letters and digits in different versions of Unicode. A text with code points on which they do not agree
is left to tiktoken, so that the tokens are always tiktoken's.
"""

from __future__ import annotations

import os
import re
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

_NEWER = re.compile(
    "[\u088f\u0c5c\u0cdc\ua7ce\ua7cf\ua7d2\ua7d4\ua7f1\U00010940-\U00010959\U00010ec5-\U00010ec7\U00011db0-\U00011ddb"
    "\U00011de0-\U00011de9\U00016ea0-\U00016eb8\U00016ebb-\U00016ed3\U00016ff2-\U00016ff6\U000187f8-\U000187ff"
    "\U00018d09-\U00018d1e\U00018d80-\U00018df2\U0001e6c0-\U0001e6de\U0001e6e0-\U0001e6e2\U0001e6e4\U0001e6e5"
    "\U0001e6e7-\U0001e6ed\U0001e6f0-\U0001e6f4\U0001e6fe\U0001e6ff\U0002b73a-\U0002b73f\U0002cea2-\U0002cead"
    "\U000323b0-\U00033479]"
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
        if not text.isascii() and _NEWER.search(text):
            return self._by_tiktoken(text)
        self._seen += len(text)
        if self._seen > _MOST_REMEMBERED:
            self._fast, self._seen = self._loaded(), len(text)
        return self._fast.encode(text)

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
