"""What examples are compared by: all of them, or the text alone where the rest of the prompt is always the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.dataset.core.compared import Compared, compared
from services.dataset.core.doubles import Doubles
from services.dataset.core.example import Verdict
from services.dataset.core.prompts import Fields
from services.dataset.templates import template

LABELS = template("classification/1")
FRAME = "\n\nWhich of these does it belong to: the care of machines, the history of machines, the size of machines?"
TEXTS = ["The lid of the pump is brown.", "The lid of the pump is green.", "The code stands under its left foot."]


def classified(text: str, label: str) -> tuple[Verdict, Compared]:
    """A text with a label, and what it is compared by."""
    verdict = Verdict(text + FRAME, label, text)
    return verdict, compared(LABELS, verdict.prompt, label, evidence=text)


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("classification/1", ("Text.", "Text.")),
        ("extraction/1", ("Text.", "Text.\nreply")),
        ("summary/1", ("Text.", "Text.\nreply")),
        ("question-answer/1", ("prompt", "prompt\nreply")),
    ],
)
def test_a_prompt_that_only_frames_a_text_is_that_text(version: str, wanted: tuple[str, str]) -> None:
    """With a label the text is all; a question of the LLM's own is compared as it stands."""
    assert compared(template(version), "prompt", "reply", evidence="Text.") == Compared(*wanted)


def test_a_prompt_that_was_changed_or_names_more_than_the_text_is_compared_as_it_stands() -> None:
    """Two personas asking about one text are two examples."""
    fields = Fields(prompt_text="For {persona}: {passage}", response="label")
    with_persona = replace(LABELS, fields=fields)

    assert compared(LABELS, "prompt", "reply").prompt == "prompt"
    assert compared(with_persona, "prompt", "reply", evidence="Text.").prompt == "prompt"
    assert compared(None, "p", "r", [{"content": "a"}, {"content": "b"}], "e") == Compared("p", "a\nb")


def test_short_texts_of_the_same_label_are_told_apart_and_one_text_has_one_label() -> None:
    """The list of labels in each prompt counts for nothing, nor does the label."""
    doubles = Doubles(0.6)
    first, second, third = (doubles.judge(*classified(text, "the care of machines")) for text in TEXTS)
    again = doubles.judge(*classified(TEXTS[2].replace("left foot", "left  foot"), "the size of machines"))

    assert [v.drop_reason for v in (first, third, again)] == ["", "", "DUPLICATE"]
    assert second.drop_reason == "NEAR_DUPLICATE"
    assert second.prompt == TEXTS[1] + FRAME
