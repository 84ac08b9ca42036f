"""Words of texts: which carry content, and which are the same but for their ending. English endings, any script."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:['’.,:/-][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<=[^\W\d_],\s)[A-Z][\w'’-]+|(?<=[^\W\d_]\s)[A-Z][\w'’-]+|(?<=\d\s)[A-Z][\w'’-]+")
_CAPITALS = re.compile(r"\b[A-ZÄÖÜ]")
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can could did do does for from had has have how if in into "
        "is it its may might must no not of on or shall should so than that the their them then there "
        "these they this those to was were what when where which who whom whose why will with would "
        "you your after before during all any each every only also he his her she i we our us about "
        "over under up out off while until between through within without per being many much long "
        "often far old more most less least such here never nobody nothing none "
        "neither cannot nowhere",
    )
)
_GENERIC = re.findall(
    r"\w+",
    "name call type kind number amount maximum minimum total day time year month happen use thing "
    "locate mean allow need require take responsible role",
)
_SPELT = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_GENERIC_STEMS = frozenset(word.rstrip("e") for word in _GENERIC)
CAPITALISED_LANGUAGE = 0.25
"""Share of capitalised words from which a text is taken for one that writes its nouns so, as German does."""


_remembered = lru_cache(maxsize=512)
"""What texts are made of is asked for again and again while the replies about one chunk are judged."""


@_remembered
def content(text: str) -> tuple[str, ...]:
    """Return the words of a text that carry content, in lower case, in order."""
    return tuple(w for w in map(str.lower, _WORD.findall(text)) if w not in _SMALL)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return a word without its commonest English endings, so that "hours" is "hour" and "studies" is "study"."""
    word = word.replace("’", "'")
    if word.endswith("ies") and len(word) > 5:
        return word[:-3] + "y"
    for ending in ("'s", "ing", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word.rstrip("e")


@_remembered
def stems(text: str) -> frozenset[str]:
    """Return the stems of the content words of a text."""
    return frozenset(map(stem, content(text)))


def generic(word: str) -> bool:
    """Whether a question may use this word without its source doing so: name, number, happen, …"""
    return stem(word) in _GENERIC_STEMS


@_remembered
def numbers(text: str) -> frozenset[str]:
    """Return the numbers in digits."""
    return frozenset(_NUMBER.findall(text))


@_remembered
def known_numbers(text: str) -> frozenset[str]:
    """Return the numbers in digits, and in digits those up to twelve that stand there as words."""
    spelt = {_SPELT[word] for word in _WORD.findall(text.lower()) if word in _SPELT}
    return numbers(text) | spelt


@_remembered
def words(text: str) -> frozenset[str]:
    """Return all words of a text, in lower case."""
    return frozenset(_WORD.findall(text.lower()))


@_remembered
def names(text: str) -> frozenset[str]:
    """Return the capitalised words inside sentences, in lower case; none in a language that capitalises its nouns."""
    words = _WORD.findall(text)
    if len(words) >= 8 and len(_CAPITALS.findall(text)) > max(3, CAPITALISED_LANGUAGE * len(words)):
        return frozenset()
    return capitalised(text)


@_remembered
def capitalised(text: str) -> frozenset[str]:
    """Return the capitalised words inside sentences, in lower case, whatever the language."""
    return frozenset(m.group().lower() for m in _NAME.finditer(text))
