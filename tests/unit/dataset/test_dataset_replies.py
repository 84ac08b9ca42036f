"""Broken replies: read all the same, or dropped with the reason; never stored invalid."""

from __future__ import annotations

import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dataset.core.metered import Metered, Reads
from services.dataset.core.replies import parse
from services.dataset.templates import template

SCHEMA = template("question-answer/1").schema
EXAMPLE = {"question": "How many pages are there?", "evidence": "It has 36 pages.", "answer": "It has 36 pages."}
GOOD = json.dumps(EXAMPLE)
GOOD_CHAT = json.dumps(
    {
        "evidence": "It has 36 pages.",
        "turns": [{"user": f"How many of kind {n}?", "assistant": f"There are {n} [in all]."} for n in range(4)],
    }
)

READ = {
    "plain": GOOD,
    "spaces round it": f"\n\n  {GOOD}  \n",
    "pretty": json.dumps(EXAMPLE, indent=4),
    "another order": json.dumps(dict(reversed(EXAMPLE.items()))),
    "fenced": f"```json\n{GOOD}\n```",
    "fenced without a language": f"```\n{GOOD}\n```",
    "fence not closed": f"```json\n{GOOD}",
    "words before": f"Sure! Here is the JSON you asked for:\n{GOOD}",
    "words after": f"{GOOD}\n\nLet me know if you need another one!",
    "fence and words": f"Here you are:\n```json\n{GOOD}\n```\nHope this helps {{really}}.",
    "thinking": f"<think>First {{x}} then y.</think>\n{GOOD}",
    "thinking with JSON in it": f'<think>Maybe {{"question": "no"}}?</think>{GOOD}',
    "thinking in capitals": f"<THINK>hm</THINK>{GOOD}",
    "thinking opened by the template": f"The user wants a question.\n</think>\n\n{GOOD}",
    "two kinds of thinking": f"<think>a</think><reasoning>b</reasoning>{GOOD}",
    "single quotes": str(EXAMPLE),
    "keys without quotes": GOOD.replace('"question"', "question").replace('"answer"', "answer"),
    "a comma too many": GOOD.replace("}", ",}"),
    "a comma missing": GOOD.replace('?", "evidence"', '?" "evidence"'),
    "a comment": GOOD.replace("{", "{ // the example\n"),
    "the last brace missing": GOOD[:-1],
    "quotes inside not escaped": GOOD.replace('"It has 36 pages."}', '"It has "36" pages."}'),
    "a line end inside a text": GOOD.replace("How many", "How\nmany"),
    "in a list": f"[{GOOD}]",
    "twice": GOOD + GOOD,
    "typographic quotes round the keys": GOOD.replace('"question"', "“question”"),
    "a key more": GOOD.replace("{", '{"difficulty": "easy", '),
    "keys in capitals": GOOD.replace("question", "Question"),
    "a number as the answer": GOOD.replace('"It has 36 pages."}', "36}"),
    "a byte order mark": "\ufeff" + GOOD,
    "wrapped in another object": json.dumps({"result": EXAMPLE}),
    "Python's words": GOOD.replace("{", '{"checked": True, "other": None, '),
}

DROPPED = {
    "nothing": ("", "EMPTY_REPLY"),
    "white space": (" \n\t ", "EMPTY_REPLY"),
    "thinking only": ("<think>I wonder what to ask.</think>", "EMPTY_REPLY"),
    "thinking that never ends": ("<think>I wonder what to ask, " * 50, "EMPTY_REPLY"),
    "a refusal": ("I'm sorry, but I cannot help with that.", "REFUSAL"),
    "another refusal": ("As an AI language model, I have no access to files.", "REFUSAL"),
    "prose": ("The manual has 36 pages.", "INVALID_JSON"),
    "question and answer as text": ("Question: How many?\nAnswer: 36", "INVALID_JSON"),
    "a number": ("36", "INVALID_JSON"),
    "null": ("null", "INVALID_JSON"),
    "a text": ('"How many pages?"', "INVALID_JSON"),
    "an empty object": ("{}", "INVALID_JSON"),
    "a list of words": ('["question", "answer"]', "INVALID_JSON"),
    "HTML": ("<html><body>502 Bad Gateway</body></html>", "INVALID_JSON"),
    "XML": ("<question>How many?</question><answer>36</answer>", "INVALID_JSON"),
    "cut in the answer": (GOOD[:-8], "TRUNCATED"),
    "cut in the question": (GOOD[:25], "TRUNCATED"),
    "cut in a key": (GOOD[: GOOD.index("evidence") + 4], "TRUNCATED"),
    "cut in a fence": (f"```json\n{GOOD[:-12]}", "TRUNCATED"),
    "only a brace": ("{", "TRUNCATED"),
    "braces without end": ("{" * 3000, "TRUNCATED"),
    "brackets without end": ("[" * 7_000, "INVALID_JSON"),
    "half a megabyte": (GOOD + "x" * 500_000, "INVALID_JSON"),
    "stopped by the schema's limit": (
        json.dumps({**EXAMPLE, "answer": ("the pump and " * 40)[: SCHEMA["properties"]["answer"]["maxLength"]]}),
        "TRUNCATED",
    ),
    "another form": ('{"title": "A poem"}', "INVALID_SCHEMA"),
    "a field missing": (json.dumps({k: v for k, v in EXAMPLE.items() if k != "answer"}), "INVALID_SCHEMA"),
    "cut between two fields": (GOOD[: GOOD.index(', "answer"')], "TRUNCATED"),
    "an empty question": (json.dumps({**EXAMPLE, "question": ""}), "INVALID_SCHEMA"),
    "null as the answer": (json.dumps({**EXAMPLE, "answer": None}), "INVALID_SCHEMA"),
    "a list as the answer": (json.dumps({**EXAMPLE, "answer": ["36", "37"]}), "INVALID_SCHEMA"),
    "an object as the question": (json.dumps({**EXAMPLE, "question": {"text": "How?"}}), "INVALID_SCHEMA"),
    "true as the answer": (json.dumps({**EXAMPLE, "answer": True}), "INVALID_SCHEMA"),
    "a question without end": (json.dumps({**EXAMPLE, "question": "How? " * 200}), "INVALID_SCHEMA"),
    "the schema itself": (json.dumps(SCHEMA), "INVALID_SCHEMA"),
}


@pytest.mark.parametrize("reply", READ.values(), ids=READ.keys())
def test_what_can_be_read_is_read(reply: str) -> None:
    """Whatever stands round the example, its three texts come out, and nothing else."""
    found, reason, _ = parse(reply, SCHEMA)

    assert reason == ""
    assert found is not None
    assert found.keys() == EXAMPLE.keys()
    assert "How" in found["question"]
    assert "36" in found["answer"]
    assert found["evidence"] == EXAMPLE["evidence"]


@pytest.mark.parametrize(("reply", "reason"), DROPPED.values(), ids=DROPPED.keys())
def test_what_cannot_be_read_is_dropped_with_its_reason(reply: str, reason: str) -> None:
    """There is a detail for people, of limited length, and never half an example."""
    found, given, detail = parse(reply, SCHEMA)

    assert (found, given) == (None, reason)
    assert 0 < len(detail) <= 200


@given(st.integers(min_value=0, max_value=len(GOOD) - 1))
def test_a_reply_cut_anywhere_never_gives_half_a_text(end: int) -> None:
    """Either the reply is dropped, or all three texts are whole: a model must not learn half a sentence."""
    found, _, _ = parse(GOOD[:end], SCHEMA)

    assert found is None or found == EXAMPLE


@given(st.text(max_size=300))
def test_no_reply_breaks_the_reader(reply: str) -> None:
    """Anything that comes is either an example of the right form or a reason."""
    found, reason, _ = parse(reply, SCHEMA)

    assert (found is None) == bool(reason)


def test_a_hostile_reply_costs_no_time() -> None:
    """Deep nesting and long repetition are read or refused in a moment."""
    began = time.monotonic()
    for reply in ("{[" * 3_999, '{"a":' * 1_599, '{"' * 3_999, "{" + "```" * 2_600, "<think>" * 99_000):
        assert parse(reply, SCHEMA)[0] is None

    assert time.monotonic() - began < 5


SPOILT_LISTS = {
    "texts without commas": '{"turns": [' + '"x" y", ' * 3_900 + "]}",
    "names without quotes": "{" + "a: b, " * 5_000 + "}",
    "brackets": '{"turns": ' + "(" * 31_000 + "}",
    "braces": "{" * 31_000,
    "a member that becomes an object": '{"turns": [1, {"x" "y": ' + '"b" "c": ' * 3_000 + "]}",
}


@pytest.mark.parametrize("reply", SPOILT_LISTS.values(), ids=SPOILT_LISTS.keys())
def test_a_long_hostile_reply_is_given_up_soon(reply: str) -> None:
    """Of such a reply json_repair would read a thousand times as much; the bound is the same on every machine."""
    began = time.process_time()

    assert parse(reply, template("chat/1").schema)[0] is None
    assert time.process_time() - began < 5


def test_what_is_joined_from_a_metered_text_is_counted_too() -> None:
    """So a parser that puts its text together anew while it reads has no more to read; what it gives is the text's."""
    reads = Reads(20)
    text = "{" + Metered("abcdefgh", reads)[:4] + "}"

    assert (text, reads.left) == ("{abcd}", 16)
    assert isinstance(text, Metered)
    assert [text[0], text[1:3], text[-1]] == ["{", "ab", "}"]
    assert reads.left == 12
    with pytest.raises(ValueError, match="too much"):
        "".join(text[place % 6] for place in range(13))


@given(st.integers(min_value=0, max_value=len(GOOD_CHAT)))
def test_a_conversation_cut_anywhere_is_not_taken_for_a_shorter_one(end: int) -> None:
    """Its exchanges may be whole: what the list was to hold beyond them is not known."""
    found, _, _ = parse(GOOD_CHAT[:end], template("chat/1").schema)

    assert found in (None, json.loads(GOOD_CHAT))


def test_fields_of_other_kinds_keep_theirs() -> None:
    """Only where a text is asked for does a number become one."""
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string"}, "count": {"type": "integer"}, "shares": {"type": "array"}},
        "required": ["label", "count"],
    }

    assert parse('{"Label": 7.50, "count": 3, "shares": [0.5, {"a": 1}]}', schema)[0] == {
        "label": "7.50",
        "count": 3,
        "shares": [0.5, {"a": 1}],
    }
    assert parse("{'label': 'a', 'count': 3, 'shares': [1,]}", schema)[0] == {"label": "a", "count": 3, "shares": [1]}
    assert parse('{"label": "a", "count": "three"}', schema)[1] == "INVALID_SCHEMA"


_TEXT = {"type": "string", "minLength": 1, "maxLength": 3}


@given(
    st.dictionaries(st.sampled_from(("a", "b")), st.one_of(st.text(max_size=4), st.integers(), st.none())),
    st.sampled_from((_TEXT, {"type": "string"}, {"type": "string", "enum": ["a"]}, {"type": ["string", "null"]}, {})),
    st.sampled_from(({"required": ["a"]}, {"required": ["c"]}, {"minProperties": 2}, {"type": "array"}, {})),
)
def test_objects_of_texts_are_taken_as_the_validator_takes_them(
    found: dict[str, Any], rules: dict[str, Any], further: dict[str, Any]
) -> None:
    """Without asking it, which takes ten times as long."""
    schema = {"type": "object", "properties": {"a": rules, "b": _TEXT}, "additionalProperties": False, **further}
    read, _, _ = parse(json.dumps(found), schema)
    asked = {name for name, rule in schema["properties"].items() if rule.get("type") == "string"}
    told = {name: str(value) if isinstance(value, int) and name in asked else value for name, value in found.items()}
    half = any(isinstance(value, str) and any(0xD800 <= ord(c) < 0xE000 for c in value) for value in told.values())
    cut = any(isinstance(v, str) and len(v) >= 3 and "maxLength" in schema["properties"][k] for k, v in told.items())
    right = bool(told) and jsonschema.Draft202012Validator(schema).is_valid(told)

    assert read is None or (right and read == told)
    assert read is not None or not right or half or cut
