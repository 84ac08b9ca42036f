"""What an example must be to be learnt from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rapidfuzz import fuzz

from services.dataset.core.evidence import find, normalise
from services.dataset.core.example import Source, Verdict
from services.dataset.core.words import content, generic, known_numbers, names, numbers, stem, stems, words

MIN_PROMPT = 12
MAX_PROMPT = 600
MIN_RESPONSE = 1
MAX_RESPONSE = 4000
GROUNDED_SHARE = 0.8
"""Least share of the answer's content words that must stand in the chunk. Below 1, since words may be inflected."""
STRANGE_SHARE = 0.5
"""Largest share of the prompt's content words that may be strange to the chunk: a prompt may be worded freely."""
REPETITIVE_SHARE = 0.6
"""A text is repetitive if fewer of its content words are different ones; short texts are not looked at."""
MIN_REPETITIVE = 5
SAME_SHARE = 0.8
"""Share of the evidence's words in the answer from which the two must agree on whether they say "not"."""
MIN_SUBJECT = 2
"""Content words that a prompt needs if it names nothing of the headings above its chunk."""
COPIED_SHARE = 90.0
"""Similarity (rapidfuzz ratio, 0 to 100) from which a prompt counts as a copy of a sentence of the text."""
NEAR_DUPLICATE = 95.0
"""Similarity (rapidfuzz token_sort_ratio) from which two prompts with the same answer count as one."""

_SELF_REFERENCE = re.compile(
    r"\b(the|this|that|given|above|following|provided) "
    r"(text|passage|paragraph|document|excerpt|section|context|sentence|article|chunk|snippet)\b"
    r"|\baccording to (the|this) (author|text|passage|document)\b"
    r"|\b(mentioned|described|stated) above\b"
    # German, French, Spanish, Portuguese, Italian, Dutch
    r"|\b(?:in|aus|laut|nach|gemäß) (?:dem|diesem|der|dieser|obigem|obiger)(?: \w+en)? (?:text|abschnitt|"
    r"passage|dokument|auszug)\w*\b"
    r"|\b(?:dans|selon|d['’]après) (?:le|la|ce|cet|cette) (?:texte|passage|paragraphe|document|extrait|section)\b"
    r"|\b(?:en|según|conforme) (?:el|la|este|esta|o|a|ao) (?:texto|pasaje|párrafo|documento|fragmento|trecho|"
    r"passagem)\b"
    r"|\b(?:no|na|neste|nesta|segundo o|de acordo com o) (?:texto|trecho|documento|parágrafo|passagem)\b"
    r"|\b(?:nel|nella|secondo il|in questo) (?:testo|brano|documento|paragrafo)\b"
    r"|\b(?:in|volgens) (?:de|deze|het|dit) (?:tekst|passage|alinea|document)\b",
    re.I,
)
_LEAK = re.compile(r"\b(?:json|schema|system prompt|evidence|quote the|language model)\b", re.I)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_GAP = re.compile(r"_{3,}|<\|")
_REFUSAL = re.compile(
    r"^\W*(i'?m sorry|i cannot|i can'?t|as an ai\b|not (specified|mentioned|stated)|unknown\b|n/?a\b)", re.I
)
_NEGATION = re.compile(r"\b(?:not|never|no|nobody|nothing|none|neither|cannot|nowhere)\b|n['’]t\b", re.I)
_UNCLEAR = re.compile(r"\b(it|its|they|them|their|he|him|his|she|her|this|these|those)\b", re.I)
_AND_WHAT = re.compile(r"\b(?:and|or),? (?:what|how|who|where|when|why|which)\b", re.I)
_COUNTED = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|"
    r"sixty|"
    r"seventy|eighty|ninety|hundreds?|thousands?|millions?|half|dozens?|no|none|nothing|both|single|once|twice|all|"
    r"free|few|several|many)\b",
    re.I,
)
_TIMED = re.compile(
    r"\b(?:always|never|ever|daily|hourly|weekly|monthly|yearly|annually|every|each|when\w*|after|before|until|"
    r"while|during|"
    r"as|at|on|in|since|if|immediately|forever|second|minute|hour|day|night|week|month|year|spring|summer|"
    r"autumn|winter)",
    re.I,
)


def check(found: dict[str, Any], source: Source, asks: bool, fact: str = "") -> Verdict:
    """Judge one reply that has the right form.

    Args:
        found: prompt ("question" or "instruction"), "answer" and "evidence".
        asks: whether the prompt must be a question.
        fact: what the prompt was to ask for, "" for nothing in particular.
    """
    prompt = tidy(found.get("question") or found.get("instruction") or "")
    if asks and prompt.count("?") == 1:
        # A statement after the question is left off: it mostly gives the answer away.
        prompt = prompt[: prompt.index("?") + 1]
    response = tidy(found.get("answer") or "")
    where = find(str(found.get("evidence") or ""), source.text)
    evidence = source.text[where[0] : where[1]] if where else ""
    reason, detail = of_texts(prompt, response)
    if not reason and asks:
        reason, detail = of_question(prompt, response)
    if not reason and where is None:
        reason, detail = "EVIDENCE_NOT_FOUND", str(found.get("evidence") or "")[:200]
    if not reason:
        reason, detail = of_answer(response, evidence, source)
    if not reason:
        reason, detail = of_prompt(prompt, response, where or (0, 0), source)
    if not reason:
        reason, detail = _told(prompt, response, fact)
    return Verdict(prompt, response, evidence, where or (0, 0), reason, detail)


def tidy(text: object) -> str:
    return re.sub(r"\s+", " ", str(text)).strip().strip('"').strip()


def of_texts(prompt: str, response: str) -> tuple[str, str]:
    """What the two texts alone give away."""
    if not prompt or not response:
        return "EMPTY_FIELD", "prompt" if not prompt else "response"
    if len(prompt) < MIN_PROMPT or len(response) < MIN_RESPONSE:
        return "TOO_SHORT", prompt if len(prompt) < MIN_PROMPT else response
    if len(prompt) > MAX_PROMPT or len(response) > MAX_RESPONSE:
        return "TOO_LONG", f"{len(prompt)} and {len(response)} characters"
    return of_wording(prompt, response)


def of_wording(prompt: str, response: str) -> tuple[str, str]:
    """What the wording of two texts gives away, whatever their lengths."""
    if found := _SELF_REFERENCE.search(prompt) or _SELF_REFERENCE.search(response):
        return "SELF_REFERENCE", found.group()
    if found := _GAP.search(prompt + response):
        return "LEAKED_INSTRUCTION", found.group()
    if _REFUSAL.match(response):
        return "REFUSAL", response[:200]
    for text in (prompt, response):
        said = content(text)
        if len(said) > MIN_REPETITIVE and len(set(said)) < REPETITIVE_SHARE * len(said):
            return "REPETITIVE", text[:200]
    return "", ""


def of_question(prompt: str, response: str) -> tuple[str, str]:
    """What a question must be beyond that, and whether its answer is of the kind that it asks for."""
    if not prompt.endswith("?"):
        return "NOT_A_QUESTION", prompt[:200]
    if prompt.count("?") > 1 or _AND_WHAT.search(prompt):
        return "SEVERAL_QUESTIONS", prompt[:200]
    first = prompt.lower()
    if first.startswith(("how many ", "how much ")) and not _COUNTED.search(response):
        return "ANSWER_OFF_QUESTION", "no number in: " + response[:180]
    if first.startswith(("how long ", "how often ", "when ")) and not (
        _COUNTED.search(response) or _TIMED.search(response)
    ):
        return "ANSWER_OFF_QUESTION", "no time in: " + response[:180]
    return "", ""


def of_answer(
    response: str, evidence: str, source: Source, share: float = GROUNDED_SHARE, also: str = ""
) -> tuple[str, str]:
    """Whether the answer stands in the source: every number, every name, every "not", most of the other words.

    Args:
        evidence: the quote that the answer rests on; "" where there is none.
        share: least share of its words that must stand there.
        also: a text whose words count as the source's own.
    """
    whole = f"{source.text} {source.topic} {also}"
    known = stems(whole)
    strange = numbers(response) - known_numbers(whole)
    if not strange and names(source.text):
        there = words(whole)
        strange = frozenset(n for n in names(response) if n not in there and stem(n) not in known)
    if strange:
        return "ANSWER_NOT_GROUNDED", "not in the source: " + ", ".join(sorted(strange))[:180]
    told = content(response)
    missing = [w for w in told if stem(w) not in known]
    if told and 1 - len(missing) / len(told) < share:
        return "ANSWER_NOT_GROUNDED", "not in the source: " + ", ".join(missing)[:180]
    quoted = stems(evidence)
    alike = len(stems(response) & quoted) >= SAME_SHARE * max(1, len(quoted))
    if alike and bool(_NEGATION.search(response)) != bool(_NEGATION.search(evidence)):
        return "ANSWER_NOT_GROUNDED", "says the opposite of: " + evidence[:170]
    return "", ""


def of_prompt(prompt: str, response: str, place: tuple[int, int], source: Source) -> tuple[str, str]:
    """Whether the prompt is about the evidence, and can be understood by itself."""
    whole = source.text + " " + source.topic
    found = _LEAK.search(prompt)
    if found and found.group().lower() not in whole.lower():
        return "LEAKED_INSTRUCTION", found.group()
    known = stems(whole)
    strange = numbers(prompt) - known_numbers(whole)
    about = [w for w in content(prompt) if not generic(w)]
    missing = [w for w in about if stem(w) not in known]
    if strange or not about or len(missing) > STRANGE_SHARE * len(about):
        return "QUESTION_NOT_GROUNDED", "not in the source: " + ", ".join([*sorted(strange), *missing])[:180]
    asked = frozenset(map(stem, about))
    if not asked & (stems(_near(place, source.text)) | stems(response)):
        return "QUESTION_NOT_GROUNDED", "not about its evidence: " + prompt[:160]
    titled = asked & stems(source.topic)
    if not titled and (len(asked) < MIN_SUBJECT or _UNCLEAR.search(prompt)) and not names(prompt):
        return "UNCLEAR_SUBJECT", prompt[:200]
    bare = normalise(prompt).text.rstrip("?. ")
    for sentence in _SENTENCE.split(source.text):
        if fuzz.ratio(bare, normalise(sentence).text.rstrip("?. "), score_cutoff=COPIED_SHARE) >= COPIED_SHARE:
            return "QUESTION_COPIES_TEXT", sentence[:200]
    return "", ""


def _near(place: tuple[int, int], text: str) -> str:
    """Return the sentences that evidence stands in, with the one before, which they may lean on."""
    ends = [0, *(m.end() for m in _SENTENCE.finditer(text)), len(text)]
    begins = [end for end in ends if end <= place[0]]
    return text[begins[-2:][0] : next(end for end in ends if end >= place[1])]


def repeated(prompt: str, response: str) -> tuple[str, str]:
    """Whether the response is the prompt again, and says nothing."""
    return ("ANSWER_IN_QUESTION", response[:200]) if response and _key(prompt) == _key(response) else ("", "")


def _told(prompt: str, response: str, fact: str) -> tuple[str, str]:
    """Whether the prompt gives away what it asks for, or the response repeats it."""
    if (objection := repeated(prompt, response))[0]:
        return objection
    asked, answered = stems(prompt), stems(response)
    wanted = stems(fact)
    if wanted and wanted <= asked:
        return "ANSWER_IN_QUESTION", fact[:200]
    if answered and answered <= asked and len(response) < len(prompt):
        return "ANSWER_IN_QUESTION", response[:200]
    return "", ""


class Seen:
    """The accepted examples so far: tells doubles, in the order in which they come."""

    def __init__(self) -> None:
        self._prompts: dict[str, str] = {}
        self._by_response: dict[str, list[str]] = {}

    def judge(self, verdict: Verdict) -> Verdict:
        """Return the verdict, or DUPLICATE or NEAR_DUPLICATE; an accepted one is remembered."""
        verdict = self.compared(verdict)
        if verdict.accepted:
            self.remember(verdict)
        return verdict

    def compared(self, verdict: Verdict) -> Verdict:
        """Return the verdict, or DUPLICATE or NEAR_DUPLICATE; nothing is remembered."""
        if not verdict.accepted:
            return verdict
        prompt, response = _key(verdict.prompt), _key(verdict.response)
        if prompt in self._prompts:
            return _dropped(verdict, "DUPLICATE", self._prompts[prompt])
        near = self._near(prompt, self._by_response.get(response, ()))
        return _dropped(verdict, "NEAR_DUPLICATE", near) if near else verdict

    def remember(self, verdict: Verdict) -> None:
        """Remember an accepted example."""
        prompt = _key(verdict.prompt)
        self._prompts[prompt] = verdict.prompt
        self._by_response.setdefault(_key(verdict.response), []).append(prompt)

    def _near(self, prompt: str, others: Iterable[str]) -> str:
        return next((o for o in others if fuzz.token_sort_ratio(prompt, o) >= NEAR_DUPLICATE), "")


def _key(text: str) -> str:
    return normalise(text).text.strip(" ?.!")


def _dropped(verdict: Verdict, reason: str, detail: str) -> Verdict:
    return replace(verdict, drop_reason=reason, detail=detail[:200])
