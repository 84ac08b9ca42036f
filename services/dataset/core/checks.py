"""What an example must be to be learnt from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rapidfuzz import fuzz

from services.dataset.core.evidence import find, normalise
from services.dataset.core.example import Source, Verdict

MIN_PROMPT = 12
MAX_PROMPT = 600
MIN_RESPONSE = 1
MAX_RESPONSE = 4000
GROUNDED_SHARE = 0.7
"""Least share of the answer's content words that must stand in the chunk. Below 1, since words may be inflected."""
COPIED_SHARE = 90.0
"""Similarity (rapidfuzz ratio, 0 to 100) from which a prompt counts as a copy of a sentence of the text."""
NEAR_DUPLICATE = 95.0
"""Similarity (rapidfuzz token_sort_ratio) from which two prompts with the same answer count as one."""

_WORD = re.compile(r"[^\W_]+(?:['.,:/-][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SELF_REFERENCE = re.compile(
    r"\b(the|this|that|given|above|following|provided) "
    r"(text|passage|paragraph|document|excerpt|section|context|sentence|article|chunk|snippet)\b"
    r"|\baccording to (the|this) (author|text|passage|document)\b"
    r"|\b(mentioned|described|stated) above\b",
    re.I,
)
_LEAK = re.compile(r"\b(json|schema|system prompt|evidence|quote the|language model|<\|)", re.I)
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i cannot|i can'?t|as an ai\b|not (specified|mentioned|stated)|unknown\b|n/?a\b)", re.I
)
_SMALL = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "may",
        "must",
        "no",
        "not",
        "of",
        "on",
        "or",
        "shall",
        "should",
        "so",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "was",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
        "after",
        "before",
        "all",
        "any",
        "each",
        "only",
    ]
)


def check(found: dict[str, Any], source: Source, asks: bool) -> Verdict:
    """Judge one reply that has the right form.

    Args:
        found: prompt ("question" or "instruction"), "answer" and "evidence".
        asks: whether the prompt must be a question.
    """
    prompt = _tidy(found.get("question") or found.get("instruction") or "")
    response = _tidy(found.get("answer") or "")
    where = find(str(found.get("evidence") or ""), source.text)
    evidence = source.text[where[0] : where[1]] if where else ""
    verdict = Verdict(prompt, response, evidence, where or (0, 0))
    reason, detail = _texts(prompt, response, asks)
    if not reason and where is None:
        reason, detail = "EVIDENCE_NOT_FOUND", str(found.get("evidence") or "")[:200]
    if not reason:
        reason, detail = _grounding(prompt, response, evidence, source)
    return Verdict(prompt, response, evidence, where or (0, 0), reason, detail) if reason else verdict


def _tidy(text: object) -> str:
    return re.sub(r"\s+", " ", str(text)).strip().strip('"').strip()


def _texts(prompt: str, response: str, asks: bool) -> tuple[str, str]:
    """What the two texts alone give away."""
    if not prompt or not response:
        return "EMPTY_FIELD", "prompt" if not prompt else "response"
    if len(prompt) < MIN_PROMPT or len(response) < MIN_RESPONSE:
        return "TOO_SHORT", prompt if len(prompt) < MIN_PROMPT else response
    if len(prompt) > MAX_PROMPT or len(response) > MAX_RESPONSE:
        return "TOO_LONG", f"{len(prompt)} and {len(response)} characters"
    if asks and not prompt.endswith("?"):
        return "NOT_A_QUESTION", prompt
    if found := _SELF_REFERENCE.search(prompt) or _SELF_REFERENCE.search(response):
        return "SELF_REFERENCE", found.group()
    if found := _LEAK.search(prompt):
        return "LEAKED_INSTRUCTION", found.group()
    if _REFUSAL.match(response):
        return "REFUSAL", response[:200]
    return "", ""


def _grounding(prompt: str, response: str, evidence: str, source: Source) -> tuple[str, str]:
    """What the texts give away beside their source."""
    known = _stems(source.text + " " + " ".join(source.context))
    missing_numbers = set(_NUMBER.findall(response)) - set(_NUMBER.findall(source.text))
    if missing_numbers:
        return "ANSWER_NOT_GROUNDED", "not in the source: " + ", ".join(sorted(missing_numbers))
    words = _content(response)
    if words and sum(_stem(w) in known for w in words) / len(words) < GROUNDED_SHARE:
        return "ANSWER_NOT_GROUNDED", "not in the source: " + ", ".join(w for w in words if _stem(w) not in known)[:200]
    asked, answered = normalise(prompt).text, normalise(response).text.strip(" .")
    if words and set(map(_stem, words)) <= _stems(prompt) and len(answered) < len(asked):
        return "ANSWER_IN_QUESTION", response[:200]
    topic = _content(prompt)
    if topic and not any(_stem(w) in known for w in topic):
        return "QUESTION_NOT_GROUNDED", prompt[:200]
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", source.text):
        if fuzz.ratio(asked.rstrip("?. "), normalise(sentence).text.rstrip("?. ")) >= COPIED_SHARE:
            return "QUESTION_COPIES_TEXT", sentence[:200]
    return "", ""


def _content(text: str) -> list[str]:
    return [w for w in (m.group().lower() for m in _WORD.finditer(text)) if w not in _SMALL]


def _stem(word: str) -> str:
    """Return a word without its commonest English endings, so that "hours" is "hour"."""
    for ending in ("'s", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)].rstrip("e")
    return word.rstrip("e")


def _stems(text: str) -> frozenset[str]:
    return frozenset(map(_stem, _content(text)))


class Seen:
    """The accepted examples so far: tells doubles, in the order in which they come."""

    def __init__(self) -> None:
        self._prompts: dict[str, str] = {}
        self._by_response: dict[str, list[str]] = {}

    def judge(self, verdict: Verdict) -> Verdict:
        """Return the verdict, or DUPLICATE or NEAR_DUPLICATE; an accepted one is remembered."""
        if not verdict.accepted:
            return verdict
        prompt, response = _key(verdict.prompt), _key(verdict.response)
        if prompt in self._prompts:
            return _dropped(verdict, "DUPLICATE", self._prompts[prompt])
        near = self._near(prompt, self._by_response.get(response, ()))
        if near:
            return _dropped(verdict, "NEAR_DUPLICATE", near)
        self._prompts[prompt] = verdict.prompt
        self._by_response.setdefault(response, []).append(prompt)
        return verdict

    def _near(self, prompt: str, others: Iterable[str]) -> str:
        return next((o for o in others if fuzz.token_sort_ratio(prompt, o) >= NEAR_DUPLICATE), "")


def _key(text: str) -> str:
    return normalise(text).text.strip(" ?.!")


def _dropped(verdict: Verdict, reason: str, detail: str) -> Verdict:
    return Verdict(verdict.prompt, verdict.response, verdict.evidence, verdict.evidence_range, reason, detail[:200])
