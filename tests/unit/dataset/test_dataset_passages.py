"""Which sentences are asked about, what they are asked for, and what the LLM then gets to see."""

from __future__ import annotations

import json
from itertools import pairwise

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dataset.core.cues import GAP, cue
from services.dataset.core.evidence import find
from services.dataset.core.example import Source
from services.dataset.core.focus import passages
from services.dataset.core.prompts import parse
from services.dataset.templates import BUILT_IN, template

TEXT = """# Pump manual

The printed manual has 36 pages. Dr. Maren Oduya wrote it in 2019. It was printed in Lyrrick, e.g. at the
old mill. Short one.

| part | number |
|------|--------|
| seal | MS-447 |

- The seal is replaced every 600 hours.
- Never wash the filter of the pump with hot water.

```
start the pump and wait for 10 seconds.
```

Otherwise the warranty of the pump ends at once.
"""


def shown(text: str, wanted: int = 99) -> list[str]:
    """The sentences that are asked about."""
    return [text[p.start : p.end] for p in passages(text, wanted)]


def test_sentences_and_list_entries_are_asked_about_and_nothing_else() -> None:
    """Headings, tables, code and fragments are passed over; an abbreviation ends no sentence; marks of lists go."""
    assert shown(TEXT) == [
        "The printed manual has 36 pages.",
        "Dr. Maren Oduya wrote it in 2019.",
        "It was printed in Lyrrick, e.g. at the\nold mill.",
        "The seal is replaced every 600 hours.",
        "Never wash the filter of the pump with hot water.",
        "Otherwise the warranty of the pump ends at once.",
    ]


def test_sentences_with_a_fact_come_first_and_are_spread() -> None:
    """A few calls ask for what can be asked for, from all over the chunk, in its order, the same every time."""
    text = " ".join(f"Pump {n} holds {n + 2} litres of oil. Pumps are useful things indeed." for n in range(10))

    chosen = shown(text, 5)
    assert len(chosen) == 5
    assert all("holds" in sentence for sentence in chosen)
    assert "holds 2 litres" in chosen[0]
    assert "holds 10 litres" in chosen[-1]
    assert chosen == shown(text, 5)


def test_a_sentence_that_leans_on_the_one_before_is_shown_with_it() -> None:
    """What "It" means stands in the sentence before."""
    found = passages("The Wren balance is small. It was sold 212 times.", 9)[1]

    assert found.shown_from == 0
    assert found.start > 0


@given(st.text(alphabet=st.sampled_from("Ab1 .!?\n-#|`*\"'(é中"), max_size=300), st.integers(0, 8))
def test_whatever_the_text_passages_lie_inside_it_in_order(text: str, wanted: int) -> None:
    """No text breaks the choice, and no passage overlaps another."""
    found = passages(text, wanted)

    assert len(found) <= wanted
    assert all(0 <= p.shown_from <= p.start < p.end <= len(text) for p in found)
    assert all(a.end <= b.start for a, b in pairwise(found))


CUES = {
    "The printed manual has 36 pages.": ("How many pages", "36"),
    "Pilot 6.3 speaks eleven languages.": ("How many languages", "eleven"),
    "A hotel room costs up to 135 crowns per night.": ("How much", "up to 135 crowns"),
    "The seal is replaced every 600 hours.": ("How often", "every 600 hours"),
    "The fan is cleaned twice a year.": ("How often", "twice a year"),
    "The shaft seal lasts about 5,000 hours.": ("How long", "about 5,000 hours"),
    "The firm was founded in 1974.": ("When", "in 1974"),
    "Pilot 6.1 was released on 2 May 2024.": ("When", "on 2 May 2024"),
    "The gate opens at 5:45 in the morning.": ("When", "at 5:45"),
    "The fire officer is Jonas Petrak.": ("Who", "Jonas Petrak"),
    "The key is kept in the blue cabinet.": ("Where", "in the blue cabinet"),
    "The code E17 means that the inlet is blocked.": ("What", "the inlet is blocked"),
    "The press is called Old Berta.": ("What", "Old Berta"),
    "If the slope is too steep, the robot calls the operator.": ("What happens", "the robot calls the operator"),
    "The largest pressure is 4.5 bar.": ("What", "4.5 bar"),
}


@pytest.mark.parametrize(("sentence", "expected"), CUES.items())
def test_a_fact_is_found_with_the_words_that_ask_for_it(sentence: str, expected: tuple[str, str]) -> None:
    """The sentence with the fact put into its gap again is the sentence."""
    found = cue(sentence)

    assert found is not None
    assert (found.words, found.fact) == expected
    assert found.gapped.replace(GAP, found.fact) == sentence


@pytest.mark.parametrize(
    "sentence", ["The Kestrel 40 replaces the older Kestrel 25 pump.", "Der Deckel wird entfernt."]
)
def test_a_sentence_without_a_known_fact_has_no_cue(sentence: str) -> None:
    """A number in a name is no quantity, and the rules know English only."""
    assert cue(sentence) is None


@given(st.text(max_size=200))
def test_no_sentence_breaks_the_rules(sentence: str) -> None:
    """A fact is always a part of the sentence."""
    found = cue(sentence)

    assert found is None or found.fact in " ".join(sentence.split())


def source(text: str, *context: str) -> Source:
    """A chunk of a file called manual.md."""
    return Source("projects/p/files/f/chunks/c", "projects/p/files/f", "manual.md", text, context)


@pytest.mark.parametrize("version", ["question-answer/1", "instruction/1"])
def test_a_prompt_shows_topic_passage_and_gap_last(version: str) -> None:
    """The parts that never change come first, so that a server can keep them; the passage stands on one line."""
    chunk = source("The manual has\n36 pages.", "Pump", "Papers")
    messages = template(version).messages(chunk, passages(chunk.text, 1)[0])
    roles = [m["role"] for m in messages]

    assert roles == ["system", *["user", "assistant"] * (len(roles) // 2 - 1), "user"]
    assert messages[-1]["content"].startswith("Topic: Pump > Papers\nPassage: The manual has 36 pages.\n")
    assert messages[-1]["content"].endswith('how many pages": The manual has ___ pages.') or messages[-1][
        "content"
    ].endswith('"How many pages": The manual has ___ pages.')


def test_a_passage_without_a_fact_is_asked_about_without_a_gap() -> None:
    """The line of the gap is left out; without headings the words of the file's name are the topic."""
    chunk = source("The Kestrel 40 replaces the older Kestrel 25 pump.")
    user = template("question-answer/1").messages(chunk, passages(chunk.text, 1)[0])[-1]["content"]

    assert user == "Topic: manual\nPassage: The Kestrel 40 replaces the older Kestrel 25 pump."


def test_braces_in_a_document_stay_as_they_are() -> None:
    """A document that writes {passage} is not taken for the template."""
    chunk = source("The field {passage} holds {cue} and {gap} in 3 rows.", "{topic}")
    user = template("question-answer/1").messages(chunk, passages(chunk.text, 1)[0])[-1]["content"]

    assert "Topic: {topic}\nPassage: The field {passage} holds {cue} and {gap} in 3 rows." in user


def test_the_servers_schema_allows_the_passage_alone_as_evidence() -> None:
    """A server that keeps to the schema cannot misquote; what it gives is found in the chunk."""
    chunk = source("The manual has\n36 pages. It is blue all over, I think.")
    passage = passages(chunk.text, 2)[0]
    schema = template("question-answer/1").schema_for(chunk, passage)
    quotes = schema["properties"]["evidence"]["enum"]

    assert [find(quote, chunk.text) is not None for quote in quotes] == [True]
    assert list(schema["properties"]) == ["question", "evidence", "answer"]
    assert template("question-answer/1").schema["properties"]["evidence"].get("enum") is None


def test_every_worked_example_is_what_it_asks_for() -> None:
    """The shots of the templates are JSON of the template's own schema, with a quote of their own passage."""
    for version in BUILT_IN:
        known = template(version)
        assert known.shots or known.task in ("CLASSIFICATION", "EXTRACTION")
        for user, assistant in known.shots:
            shot = json.loads(assistant)
            jsonschema.validate(shot, known.schema)
            assert shot.get("evidence", "") in user


@pytest.mark.parametrize("text", ["", "## system\nx", "## user\nx", "## system\na\n\n## assistant\nb\n\n## user\nc"])
def test_a_template_with_parts_missing_is_refused(text: str) -> None:
    """Found when the service starts to use it, by its name."""
    with pytest.raises(ValueError, match="prompt x/1"):
        parse("x/1", text, {"properties": {}})


@pytest.mark.parametrize(
    ("quote", "text", "found"),
    [
        ("the seal  is black.", "So: The seal is\nblack today.", "The seal is\nblack"),
        ("“Norrin 7” is green", 'He says "Norrin 7" is green.', 'Norrin 7" is green'),
        ("3–4 bar of pressure", "at 3-4 bar of pressure", "3-4 bar of pressure"),
        ("coolant is green", "The cool-\nant is green", "cool-\nant is green"),
        ("well-known pump is green", "A well-\nknown pump is green", "well-\nknown pump is green"),
        ("the *bold* word", "Mind the **bold** word", "the **bold** word"),
        ("ﬁlter of the pump", "the filter of the pump", "filter of the pump"),
        ("snake_case stays", "a snake_case stays here", "snake_case stays"),
    ],
)
def test_a_quote_is_found_though_its_type_differs(quote: str, text: str, found: str) -> None:
    """Case, white space, quotation marks, dashes, hyphens at line ends, emphasis and ligatures do not count."""
    place = find(quote, text)

    assert place is not None
    assert text[place[0] : place[1]] == found


@pytest.mark.parametrize("quote", ["", " ", '"..."', "The seal is white", "seal is black The", "sealisblack"])
def test_what_is_not_there_is_not_found(quote: str) -> None:
    """Words must stand there, in their order."""
    assert find(quote, "The seal is black.") is None


def test_a_range_of_a_chunk_is_found_in_its_document() -> None:
    """A chunk is made of spans of the extracted text; evidence over two of them covers what lies between."""
    chunk = Source("c", "f", "n", "abcdefghij", spans=((100, 105), (110, 115)))

    assert chunk.in_document(1, 3) == (101, 103)
    assert chunk.in_document(6, 8) == (111, 113)
    assert chunk.in_document(3, 7) == (103, 112)


def test_a_place_is_that_of_the_last_part_that_begins_before() -> None:
    """Pages and paragraphs are looked up by position; before the first there is the first."""
    places = ({"span": {"start": 10, "end": 20}, "page": 1}, {"span": {"start": 20, "end": 30}, "page": 2})
    chunk = Source("c", "f", "n", "x", places=places)

    assert [chunk.place(p)["page"] for p in (5, 10, 19, 20, 99)] == [1, 1, 1, 2, 2]  # type: ignore[index]  # all are there
