"""What a dataset's policy about personal data and secrets lets of a chunk reach the LLM.

`mask`: a placeholder stands for what was found, such as [EMAIL_1], the same one for the same find in all of a file.
`drop`: a chunk that holds such a find, in its text or the headings above it, is withheld. All that is made of a chunk
is made of what this module returns: prompts, schemas, the checks of replies, examples. So neither the LLM nor a
recorded call has what was masked, and an answer is compared with what the LLM saw.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import groupby

from services.dataset.core import pii
from services.dataset.core.example import Mask, Source
from services.dataset.core.finds import Held, Surroundings, find, held

FLAG, MASK, DROP, IGNORE = "PII_ACTION_FLAG", "PII_ACTION_MASK", "PII_ACTION_DROP", "PII_ACTION_IGNORE"
OTHERS = "*"
"""In a policy: every kind that is not named."""
WITHHELD = "PERSONAL_DATA"
"""Why a chunk is not shown to the LLM, or an example not kept."""

_PLACEHOLDER = re.compile(r"\[([A-Z]+(?:_[A-Z]+)*)_[1-9]\d*\]")


def action(policy: Mapping[str, str], kind: str) -> str:
    """Return what a policy does about a kind: FLAG where it says nothing."""
    return policy.get(kind) or policy.get(OTHERS) or FLAG


def placeholders(text: str) -> set[str]:
    """Return the kinds of which a placeholder stands in a text."""
    return {kind for kind in _PLACEHOLDER.findall(text) if kind in pii.KINDS}


def shown(sources: Iterable[Source], policy: Mapping[str, str]) -> list[Source]:
    """Return chunks as an LLM may see them, the same ones every time. CPU work, unless the policy only flags.

    Args:
        sources: chunks in the order of their files; a placeholder's number is decided by the chunks up to its own, and
            by the next one where its end cuts a find in two.
    """
    if not {MASK, DROP} & set(policy.values()):
        return list(sources)
    found: list[Source] = []
    for _, chunks in groupby(sources, key=lambda source: source.file):
        of_file = list(chunks)
        numbers, surroundings = _Numbers(), Surroundings(of_file)
        found += [_shown(source, policy, numbers, surroundings) for source in of_file]
    return found


class _Numbers:
    """The numbers of the placeholders of one file."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, int]] = {}

    def placeholder(self, kind: str, value: str) -> str:
        known = self._known.setdefault(kind, {})
        return f"[{kind}_{known.setdefault(''.join(value.split()).casefold(), len(known) + 1)}]"


def _shown(source: Source, policy: Mapping[str, str], numbers: _Numbers, surroundings: Surroundings) -> Source:
    in_text = held(source.text, surroundings.held(source))
    in_headings = {one.kind for heading in source.context for one in find(heading)}
    kinds = {one.kind for one in in_text} | in_headings
    if dropped := sorted(kind for kind in kinds if action(policy, kind) == DROP):
        return replace(source, text="", context=(), spans=(), file_name="", withheld=", ".join(dropped))

    def hides(kind: str) -> bool:
        return action(policy, kind) in (MASK, DROP)

    name, _ = _masked(source.file_name, held(source.file_name), hides, numbers)
    context = tuple(_masked(heading, held(heading), hides, numbers)[0] for heading in source.context)
    text, masks = _masked(source.text, in_text, hides, numbers)
    return replace(source, text=text, context=context, file_name=name, masks=masks)


def _masked(
    text: str, found: Iterable[Held], hides: Callable[[str], bool], numbers: _Numbers
) -> tuple[str, tuple[Mask, ...]]:
    """Return a text with placeholders, and where they stand in it."""
    parts: list[str] = []
    masks: list[Mask] = []
    done = length = 0
    for one in found:
        if not hides(one.kind):
            continue
        stands_for = numbers.placeholder(one.kind, one.whole)
        parts += [text[done : one.start], stands_for]
        start = length + one.start - done
        length = start + len(stands_for)
        masks.append(Mask(start, length, one.end - one.start))
        done = one.end
    return "".join([*parts, text[done:]]), tuple(masks)
