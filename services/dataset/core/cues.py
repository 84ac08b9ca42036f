"""Finding the fact of a sentence that a question can ask for: a number, a date, a name, a place, a meaning.

A call to the LLM then carries the sentence with a gap where the fact stood and the words that a question for it begins
with: `How many pages`, "The manual has ___ pages.". A small model writes far better questions from that than from the
sentence alone, and a strong one asks for another fact each time. The rules know English; a sentence that none of them
fits, in any language, is asked about without a cue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

GAP = "___"

_TIME = "(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|nights?)"
_NUMBER = (
    r"(?:\d[\d,]*(?:\.\d+)?|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|"
    r"seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty)"
)
_ABOUT = (
    r"(?:(?:less than|more than|longer than|shorter than|at most|at least|up to|about|around|only|almost|over|under) )?"
)
_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_WEEKDAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_YEAR = r"(?:1[5-9]|20)\d\d"
_PRODUCT = r"[A-Z][\w-]* \d[\d.]*|"
"""A name with a number in it, such as Kestrel 40: passed over, since it is no quantity."""
_VERB = "(?:means|is|was|has|as|its|this|shows|stops|runs|uses|holds|takes|costs|needs|weighs|reaches|lasts)\\b"
_NAME = r"(?:(?:Dr|Mr|Ms|Mrs|Prof)\. )?(?!" + _MONTH + r")[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)+"
_MONEY = "(?:euros?|dollars?|pounds?|crowns?|francs?|cents?)"
_END = r"(?=[.;]?$)"

_RULES: tuple[tuple[str, str], ...] = (
    ("What happens", r"^(?:If|When|Unless)\b[^,]{8,}, (?P<gap>[^.;]{8,})" + _END),
    (
        "How often",
        rf"(?<!of )\b(?P<gap>(?:every|each) (?:{_NUMBER} )?(?:working |operating )?"
        rf"(?:{_TIME}|morning|evening|{_WEEKDAY})|"
        rf"(?:once|twice|{_NUMBER} times) (?:a|per|every) \w+)\b",
    ),
    (
        "When",
        r"\b(?P<gap>"
        rf"(?:in|on|since|until|by|from|before|after|between) (?:the )?(?:\d\d?(?:st|nd|rd|th)? )?"
        rf"{_MONTH}(?: \d\d?,)?(?: {_YEAR})?|"
        rf"(?:in|since|until|from|between) (?:the \w+ of )?{_YEAR}(?: (?:to|and) {_YEAR})?|"
        rf"(?:from|at|until|before|after) \d\d?:\d\d(?: to \d\d?:\d\d)?|on {_WEEKDAY}|on (?:[A-Z]\w+ )+Day|"
        r"on the (?:first|second|last|\d\d?(?:st|nd|rd|th)) \w+(?: of [a-z ]+)?)\b",
    ),
    ("How long", rf"{_PRODUCT}\b(?P<gap>(?:within |after |for )?{_ABOUT}{_NUMBER} (?:working |operating )?{_TIME})\b"),
    ("How much", rf"{_PRODUCT}\b(?P<gap>{_ABOUT}{_NUMBER} {_MONEY}\b|[€$£] ?\d[\d.,]*\d|\d[\d.,]* ?[€%])"),
    (
        "How many {unit}",
        rf"{_PRODUCT}\b(?P<gap>{_ABOUT}{_NUMBER}) (?P<unit>(?:(?!{_VERB})[a-z-]+ )?(?!{_VERB})[a-z]{{3,}}s)\b",
    ),
    ("What", r"\b(?:is|was|are|were) (?:called|named) (?P<gap>[^.;,]{2,60})"),
    (
        "Who",
        rf"\b(?:by|is|was|are|were|with) (?P<gap>(?:the )?{_NAME})(?=[.,;]|$| (?:and|in|on|at|from|since|until)\b)",
    ),
    ("Who", rf"^(?P<gap>(?:Dr|Mr|Ms|Mrs|Prof)\. {_NAME})(?= )"),
    (
        "What",
        r"\b(?:made|full|filled|washed|covered|cleaned|marked|replaced) (?:of|with|by) (?P<gap>[^.;,]{3,60})" + _END,
    ),
    ("What", r"\bmeans? that (?P<gap>[^.;]{3,80})" + _END),
    (
        "Where",
        r"(?<!used )\b(?P<gap>(?:in|at|behind|beside|under|near|on|into|inside|above|below|between) (?!order\b|case\b)"
        r"(?:the |a |an |its )?[A-Za-z][A-Za-z0-9' -]{2,50})" + _END,
    ),
    (
        "What",
        r"\b(?:is|was|are|were) (?!not\b|\w+(?:ed|en)\b|kept\b|held\b|sent\b|led\b|made\b|put\b|too\b)"
        r"(?P<gap>(?:minus )?(?:\d[\d.,]*\d [^.;,]{1,60}|[A-Za-z0-9][^.;,]{2,70}))(?=[.;,]|$)",
    ),
    ("What", r"(?<=[a-z] )(?P<gap>[A-Z][\w-]*(?: [A-Z][\w-]*| \d+(?:\.\d+)*)*)" + _END),
)
_COMPILED = tuple((words, re.compile(rule)) for words, rule in _RULES)


@dataclass(frozen=True)
class Cue:
    """What to ask a sentence for.

    Args:
        words: how the question begins: "How many pages".
        fact: what the question asks for: "36".
        gapped: the sentence with GAP in place of the fact.
    """

    words: str
    fact: str
    gapped: str


@lru_cache(maxsize=1024)
def cue(sentence: str) -> Cue | None:
    """Return what to ask a sentence for, the same for the same sentence; None if no rule fits."""
    sentence = " ".join(sentence.split())
    for words, rule in _COMPILED:
        for found in rule.finditer(sentence):
            fact = found.group("gap")
            if fact:
                start, end = found.span("gap")
                gapped = sentence[:start] + GAP + sentence[end:]
                return Cue(words.format(**found.groupdict()), fact, gapped)
    return None
