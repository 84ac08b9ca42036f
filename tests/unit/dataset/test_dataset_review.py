"""Reviews are bound to an example's texts; filters choose examples by them."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.errors import InvalidArgument
from services.dataset.core import filters
from services.dataset.core.review import Word, approved, content_sha256, inherited, of, state, take_over


def example(**fields: Any) -> dict[str, Any]:
    """An accepted example."""
    base = {
        "_id": "d/examples/e",
        "prompt": "How heavy is the pump?",
        "response": "Nine kilograms",
        "accepted": True,
        "drop_reason": "",
        "drop_detail": "",
        "split": "SPLIT_TRAIN",
        "edited": False,
    }
    return {**base, **fields}


def test_an_approval_holds_for_the_texts_that_were_approved() -> None:
    """Another response, and nobody has approved it; the old one back, and it is approved again."""
    doc = example()
    Word("APPROVE", "ann").say(doc)
    before = approved(doc)
    doc["response"] = "Ten kilograms"
    changed = (approved(doc), state(doc))
    doc["response"] = "Nine kilograms"

    assert before
    assert changed == (False, "")
    assert approved(doc)


@pytest.mark.parametrize("field", ["prompt", "response", "messages", "reasoning"])
def test_every_text_counts_for_the_hash(field: str) -> None:
    """Prompt, response, conversation and reasoning."""
    value: Any = [{"role": "user", "content": "x"}] if field == "messages" else "other"

    assert content_sha256(example(**{field: value})) != content_sha256(example())


def test_a_rejection_is_taken_back_to_what_the_checks_said() -> None:
    """Reset gives the example its acceptance again, or its drop reason."""
    good, bad = example(), example(accepted=False, drop_reason="DUPLICATE", drop_detail="of another")
    Word("REJECT", "ann").say(good)
    rejected = (good["accepted"], good["drop_reason"], good["split"])
    Word("APPROVE", "ann").say(bad)
    Word("RESET", "ann").say(good)
    Word("RESET", "ann").say(bad)

    assert rejected == (False, "REJECTED_BY_REVIEW", "SPLIT_UNSPECIFIED")
    assert (good["accepted"], good["drop_reason"]) == (True, "")
    assert (bad["accepted"], bad["drop_reason"], bad["drop_detail"]) == (False, "DUPLICATE", "of another")


def test_a_word_said_twice_changes_nothing_more() -> None:
    """The second time the document is the same."""
    doc = example()
    word = Word("APPROVE", "ann", ("good",), (), "fine")
    word.say(doc)
    once = dict(doc)
    word.say(doc)

    assert doc == once
    assert of(doc)["tags"] == ["good"]


def test_what_has_no_texts_cannot_be_approved() -> None:
    """A reply that could not be read gives nothing to approve."""
    assert not Word("APPROVE", "ann").fits(example(prompt=""))
    assert Word("REJECT", "ann").fits(example(prompt=""))


def test_the_same_texts_take_a_review_over() -> None:
    """Whatever the example's name; another text takes nothing."""
    said = example(_id="old/examples/x")
    Word("APPROVE", "ann", ("good",), (), "fine").say(said)
    found = inherited([said])
    same = example(_id="new/examples/y")
    take_over(same, found[content_sha256(same)])

    assert approved(same)
    assert (of(same)["by"], of(same)["tags"], of(same)["note"]) == ("ann", ["good"], "fine")
    assert content_sha256(example(response="Ten")) not in found


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", True),
        ("*", True),
        ('state = "APPROVED"', True),
        ("state != APPROVED", False),
        ("state = UNREVIEWED", False),
        ('tag = "good" AND scores.judge >= 4', True),
        ("scores.judge > 4.5", False),
        ("scores.other >= 0", False),
        ('text : "NINE KILO"', True),
        ('text : "black AND white"', False),
        ("flag = PII_EMAIL", True),
        ("flag != PII_EMAIL", False),
    ],
)
def test_filters_choose_by_state_tag_flag_score_and_text(text: str, meant: bool) -> None:
    """Joined by AND; a quoted AND is a word."""
    doc = example(scores={"judge": 4.0}, flags=["PII_EMAIL"])
    Word("APPROVE", "ann", ("good",)).say(doc)

    assert filters.read(text).matches(doc) is meant


@pytest.mark.parametrize(
    "text",
    ["what", "size = 3", "scores.judge = good", "state = MAYBE", "accepted = perhaps", "accepted = true AND "],
)
def test_a_filter_that_cannot_be_read_is_refused(text: str) -> None:
    """With the fields that there are."""
    with pytest.raises(InvalidArgument):
        filters.read(text)
