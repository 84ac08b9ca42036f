"""Which language a text is in, of those that examples may be written in."""

from __future__ import annotations

from functools import cache, lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from services.dataset.core.aim import LANGUAGES

MIN_LETTERS = 20
"""Shortest text, in letters, whose language is told."""
SURE = 0.8
"""Least probability, among the languages of LANGUAGES, from which a language is told."""
_ALIKE = (
    frozenset(("hr", "sr", "sl")),
    frozenset(("cs", "sk")),
    frozenset(("da", "no", "sv")),
    frozenset(("ru", "uk", "bg", "sr")),
    frozenset(("es", "pt", "it")),
)
"""Languages that a short text of one may be taken for another's."""
_LONG = 200
"""Letters from which even those are told apart."""


@lru_cache(maxsize=512)
def tell(text: str) -> str:
    """Return the ISO 639-1 code of a text's language, or "" if it is too short or too mixed to tell.

    The first call loads a model: about 1 s and 100 MB, once for the process.
    """
    if sum(map(str.isalpha, text)) < MIN_LETTERS:
        return ""
    code, probability = _identifier().classify(text)
    return str(code) if probability >= SURE else ""


def differs(text: str, wanted: str) -> str:
    """Return the language of a text if it is surely another than the wanted one, or else ""."""
    told = tell(text)
    if told in ("", wanted):
        return ""
    alike = any(told in group and wanted in group for group in _ALIKE)
    return "" if alike and sum(map(str.isalpha, text)) < _LONG else told


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(LANGUAGES))
    return identifier
