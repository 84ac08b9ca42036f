"""What an example's texts may not hold, wherever it came from: a document's orders, personal data, what is secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from services.dataset.core import pii
from services.dataset.core.evidence import normalise
from services.dataset.core.example import Source, Verdict
from services.dataset.core.injection import orders, without
from services.dataset.core.marks import SUSPECTED_INJECTION, clean
from services.dataset.core.masking import DROP, IGNORE, MASK, WITHHELD, action, placeholders
from services.dataset.core.words import content, generic, stem, stems

LEAKED_WORDS = 8
"""Words in a row that an example may not share with the system message, unless its chunk has them too."""


def screen(
    verdict: Verdict,
    source: Source,
    messages: Sequence[Mapping[str, str]] = (),
    policy: Mapping[str, str] | None = None,
    canaries: Sequence[str] = (),
) -> Verdict:
    """Return the verdict with flags, its texts cleaned and masked, and if need be a reason to drop it.

    Args:
        messages: what the LLM was asked; the first is the system message.
        policy: what is done about each kind of personal data, FLAG where it says nothing.
        canaries: texts that no example may hold.

    Reasons: INJECTED, LEAKED_INSTRUCTION, CANARY, PERSONAL_DATA.
    """
    flags = {*verdict.flags, *source.flags, *_flags_of_marks(verdict)}
    verdict = _rewritten(verdict, lambda text: clean(text)[0])
    # What was found is told before anything else: a later reason is no reason to hide it.
    held = "\n".join(_texts(verdict))
    reason, detail = verdict.drop_reason, verdict.detail
    if canary := next((c for c in canaries if _flat(c) in _flat(held)), ""):
        reason, detail = "CANARY", canary[:20] + "…"
    if not reason:
        reason, detail = _injected(verdict, source)
    if not reason:
        reason, detail = _leaked(verdict, source, messages)
    kinds = {found.kind for found in pii.find(held)} | placeholders(held)
    actions = {kind: action(policy or {}, kind) for kind in kinds}
    flags |= {f"PII_{kind}" for kind, action in actions.items() if action != IGNORE}
    dropped = sorted(kind for kind, action in actions.items() if action == DROP)
    if dropped and not reason:
        reason, detail = WITHHELD, ", ".join(dropped)
    verdict = replace(verdict, drop_reason=reason, detail=detail, flags=tuple(sorted(flags)))
    masked = {kind for kind, action in actions.items() if action in (MASK, DROP)}
    return _rewritten(verdict, lambda text: pii.mask(text, masked)) if masked else verdict


def presentable(text: str, policy: Mapping[str, str]) -> str:
    """Return what is said about an example, such as a judge's reason: cleaned, and masked as the policy says."""
    seen = clean(text)[0]
    masked = {found.kind for found in pii.find(seen) if action(policy, found.kind) in (MASK, DROP)}
    return pii.mask(seen, masked) if masked else seen


def _texts(verdict: Verdict) -> list[str]:
    said = [message.get("content") or "" for message in verdict.messages]
    return [verdict.prompt, verdict.response, verdict.evidence, verdict.reasoning, *said]


def _flags_of_marks(verdict: Verdict) -> set[str]:
    return {flag for text in _texts(verdict) for flag in clean(text)[1]}


def _rewritten(verdict: Verdict, change: Callable[[str], str]) -> Verdict:
    """Return the verdict with every text of the example changed in one way, its detail too."""
    messages = tuple({**m, "content": change(m["content"])} if m.get("content") else m for m in verdict.messages)
    return replace(
        verdict,
        prompt=change(verdict.prompt),
        response=change(verdict.response),
        evidence=change(verdict.evidence),
        reasoning=change(verdict.reasoning),
        messages=messages,
        detail=change(verdict.detail),
    )


def _flat(text: str) -> str:
    return normalise(text).text.strip()


def _injected(verdict: Verdict, source: Source) -> tuple[str, str]:
    """Whether an example rests on a passage that gives orders, or says what stands only there."""
    if SUSPECTED_INJECTION not in source.flags:
        return "", ""
    places = orders(source.text)
    start, end = verdict.evidence_range
    if any(first < end and start < last for first, last in places):
        return "INJECTED", "the evidence gives orders: " + verdict.evidence[:160]
    rest = stems(without(source.text, places))
    ordering = "\n".join([source.text[a:b] for a, b in places] + [h for h in source.context if orders(h)]).lower()
    ordered = stems(ordering)
    said = f"{verdict.prompt}\n{verdict.response}\n" + "\n".join(_texts(verdict)[3:])
    new = [word for word in content(said) if stem(word) not in rest and not generic(word)]
    # Where words are not parted by spaces, an order's word stands inside a longer one.
    taken = [word for word in new if stem(word) in ordered or (len(word) > 3 and word in ordering)]
    return ("INJECTED", "only in what gives orders: " + ", ".join(dict.fromkeys(taken))[:160]) if taken else ("", "")


def _leaked(verdict: Verdict, source: Source, messages: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """Whether an example repeats the system message."""
    if not messages or messages[0].get("role") != "system":
        return "", ""
    secret = _runs(messages[0]["content"])
    for text in (verdict.prompt, verdict.response, *_texts(verdict)[3:]):
        for run in sorted(_runs(text) & secret):
            if run not in " ".join(_words(source.text)):
                return "LEAKED_INSTRUCTION", run[:200]
    return "", ""


@lru_cache(maxsize=64)
def _runs(text: str) -> frozenset[str]:
    said = _words(text)
    return frozenset(" ".join(said[i : i + LEAKED_WORDS]) for i in range(len(said) - LEAKED_WORDS + 1))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
