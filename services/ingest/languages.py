"""The language of a text, by py3langid: the same text always gives the same answer, and nothing is fetched."""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from typing import Any

UNKNOWN = "und"
_FEWEST_LETTERS = 24
_NO_WORDS = "zxx"
"""What the library says of numbers and the like."""

_LOADING = threading.Lock()
_LEAST = 0.5
"""Below this share of certainty, from 0 to 1, no language is named."""


class LangidLanguages:
    """See ports.Languages. The model takes 0.7 s and about 100 MB once it is first asked for."""

    async def language(self, text: str) -> str:
        """Return the language of a text."""
        if sum(map(str.isalpha, text)) < _FEWEST_LETTERS:
            return UNKNOWN
        return await asyncio.to_thread(_named, text)


def _named(text: str) -> str:
    code, certainty = _model().classify(text)
    return str(code) if certainty >= _LEAST and code != _NO_WORDS else UNKNOWN


def _model() -> Any:
    with _LOADING:
        return _loaded()


@cache
def _loaded() -> Any:
    """Load the model that comes with the library, at its first use."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
