"""What examples are compared by when doubles are looked for.

All that they teach, as a rule. But where a prompt is a text of the document among words that are the same in every
example (a list of labels, a schema), these words would make short texts alike: the text alone stands for the prompt,
and with labels for all of the example, since one text with two labels is no two examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.dataset.core.prompts import Template


@dataclass(frozen=True)
class Compared:
    """What stands for an example's prompt, and for all of it."""

    prompt: str
    whole: str


def compared(
    template: Template | None,
    prompt: str,
    response: str,
    messages: Sequence[Mapping[str, str]] = (),
    evidence: str = "",
) -> Compared:
    """Return what an example is compared by.

    Args:
        template: what it was made from; None if that is not known, as of imported rows.
        messages: its whole conversation, if it is more than one prompt and one response.
        evidence: the text that it is about; "" if the prompt was changed since.
    """
    if text := framed(template, response, evidence):
        return Compared(evidence, text)
    told = [str(message.get("content") or "") for message in messages]
    return Compared(prompt, "\n".join(told or [prompt, response]))


def framed(template: Template | None, response: str, evidence: str) -> str:
    """Return what stands for all of an example whose prompt is a text in a frame; "" for one of another form."""
    if template is None or not template.only_frames or not evidence:
        return ""
    return evidence if template.labels else f"{evidence}\n{response}"
