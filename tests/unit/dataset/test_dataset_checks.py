"""What an example must be to be learnt from, reply by reply."""

from __future__ import annotations

import pytest

from services.dataset.core.checks import Seen, check
from services.dataset.core.example import Source, Verdict

TEXT = (
    "## Pressure\n\nThe Kestrel 40 works at a pressure of at most 4.5 bar. The relief valve opens at 5 bar and is made "
    "of\nbrass. The filter is changed every 600 hours by Pavel Lindqvist and May, the operator. The lid is held by "
    "seven screws. The filter is costly. It must never be washed. “Norrin 7” cool-\n"
    "ant is pale green. The status page is updated every 30 minutes until the incident is closed."
)
SOURCE = Source("projects/p/files/f/chunks/c", "projects/p/files/f", "manual.md", TEXT, ("Kestrel 40 Pump: Manual",))
QUESTION = "At most which pressure does the Kestrel 40 work at?"
ANSWER = "The Kestrel 40 works at a pressure of at most 4.5 bar."
EVIDENCE = "The Kestrel 40 works at a pressure of at most 4.5 bar."


def judged(
    question: str = QUESTION, answer: str = ANSWER, evidence: str = EVIDENCE, *, fact: str = "", source: Source = SOURCE
) -> Verdict:
    """The verdict on a good example, but for the parts given."""
    return check({"question": question, "answer": answer, "evidence": evidence}, source, True, fact)


ACCEPTED = {
    "a whole sentence": {},
    "a bare value": {"answer": "4.5 bar"},
    "a statement after the question, which is left off": {"question": QUESTION + " The Kestrel 40 works at 4.5 bar."},
    "a name that begins like a small word": {
        "question": "What must the operator of the Kestrel 40 change?",
        "answer": "The operator of the Kestrel 40, May, changes the filter every 600 hours.",
        "evidence": "The filter is changed every 600 hours by Pavel Lindqvist and May",
    },
    "a number in digits that stands there as a word": {
        "question": "How many screws hold the lid of the Kestrel 40?",
        "answer": "The lid is held by 7 screws.",
        "evidence": "The lid is held by seven screws.",
    },
    "worded freely": {"question": "How much pressure can the Kestrel 40 endure?"},
    "inflected": {"answer": "The Kestrel 40 is working at pressures of 4.5 bar at most."},
    "a small number as a word": {
        "question": "How often is the filter changed?",
        "answer": "Every 600 hours.",
        "evidence": "The filter is changed every 600 hours",
    },
    "a name": {
        "question": "Who changes the filter of the Kestrel 40?",
        "answer": "Pavel Lindqvist changes the filter.",
        "evidence": "changed every 600 hours by Pavel Lindqvist",
    },
    "over a line end": {
        "question": "What is the relief valve made of?",
        "answer": "It is made of brass.",
        "evidence": "is made of brass",
    },
    "hyphen at the line end and other quotes": {
        "question": "Which colour does Norrin 7 coolant have?",
        "answer": "Norrin 7 coolant is pale green.",
        "evidence": '"Norrin 7" coolant is pale green.',
    },
    "quoted in another case and spacing": {"evidence": "  the kestrel 40  WORKS at a pressure of at most 4.5 bar "},
    "agreeing on never": {
        "question": "Which part of the Kestrel 40 must nobody wash?",
        "answer": "The filter must never be washed.",
        "evidence": "It must never be washed.",
    },
}

DROPPED = {
    "no question": ({"question": " "}, "EMPTY_FIELD"),
    "no answer": ({"answer": '""'}, "EMPTY_FIELD"),
    "two words": ({"question": "Pressure?"}, "TOO_SHORT"),
    "a page of an answer": ({"answer": "The pressure is 4.5 bar. " * 400}, "TOO_LONG"),
    "a statement": ({"question": "The Kestrel 40 works at 4.5 bar pressure."}, "NOT_A_QUESTION"),
    "two questions": ({"question": "What is the pressure? What is the valve made of?"}, "SEVERAL_QUESTIONS"),
    "a question in a question": (
        {"question": "What is the pressure of the Kestrel 40, and what is the valve made of?"},
        "SEVERAL_QUESTIONS",
    ),
    "points at the text": ({"question": "According to the text, what is the pressure?"}, "SELF_REFERENCE"),
    "points at the passage": ({"question": "Which pressure does this passage give?"}, "SELF_REFERENCE"),
    "the answer points at the text": ({"answer": "The text above says 4.5 bar."}, "SELF_REFERENCE"),
    "speaks of the prompt": ({"question": "Which JSON schema has the Kestrel 40 pressure?"}, "LEAKED_INSTRUCTION"),
    "keeps the gap": ({"question": "The Kestrel 40 works at ___ pressure?"}, "LEAKED_INSTRUCTION"),
    "an answer with a chat template's token": ({"answer": "4.5 bar<|im_end|>"}, "LEAKED_INSTRUCTION"),
    "a chat template's token": ({"question": "<|im_start|> What is the pressure of it?"}, "LEAKED_INSTRUCTION"),
    "refuses": ({"answer": "I'm sorry, the pressure is not given."}, "REFUSAL"),
    "does not know": ({"answer": "Not specified."}, "REFUSAL"),
    "goes in circles": (
        {"answer": "The pressure is a pressure of the pressure that is a pressure of a pressure of pressure."},
        "REPETITIVE",
    ),
    "invented evidence": ({"evidence": "The Kestrel 40 works at a pressure of 9 bar."}, "EVIDENCE_NOT_FOUND"),
    "no evidence": ({"evidence": ""}, "EVIDENCE_NOT_FOUND"),
    "evidence from the headings": ({"evidence": "Kestrel 40 Pump: Manual"}, "EVIDENCE_NOT_FOUND"),
    "a wrong number": ({"answer": "The Kestrel 40 works at 45 bar."}, "ANSWER_NOT_GROUNDED"),
    "another unit's number": ({"answer": "The Kestrel 40 works at 450 kilopascals."}, "ANSWER_NOT_GROUNDED"),
    "a name from nowhere": ({"answer": "The Kestrel 40 of Dr. Maren Quist works at 4.5 bar."}, "ANSWER_NOT_GROUNDED"),
    "an invention": (
        {"answer": "A luxury sports car with a turbocharged engine and leather seats."},
        "ANSWER_NOT_GROUNDED",
    ),
    "the opposite": (
        {
            "question": "What is to be done with the filter of the Kestrel 40?",
            "answer": "It must be washed.",
            "evidence": "It must never be washed.",
        },
        "ANSWER_NOT_GROUNDED",
    ),
    "a number from nowhere": ({"question": "What happens to the Kestrel 40 after 77 days?"}, "QUESTION_NOT_GROUNDED"),
    "about something else": (
        {"question": "Which company built the luxury liner that sank near Newfoundland?"},
        "QUESTION_NOT_GROUNDED",
    ),
    "about another sentence": (
        {"question": "Which colour has the coolant?", "answer": "At most 4.5 bar.", "evidence": EVIDENCE},
        "QUESTION_NOT_GROUNDED",
    ),
    "nobody knows what about": (
        {
            "question": "How often is it updated?",
            "answer": "Every 30 minutes.",
            "evidence": "The status page is updated every 30 minutes",
        },
        "UNCLEAR_SUBJECT",
    ),
    "one word about": ({"question": "How much is the pressure?", "answer": "4.5 bar"}, "UNCLEAR_SUBJECT"),
    "the text with a question mark": (
        {"question": "The Kestrel 40 works at a pressure of at most 4.5 bar?"},
        "QUESTION_COPIES_TEXT",
    ),
    "no number for how many": (
        {"question": "How many bar does the Kestrel 40 work at?", "answer": "The Kestrel works at a pressure."},
        "ANSWER_OFF_QUESTION",
    ),
    "no time for when": (
        {
            "question": "When does the Kestrel 40 filter change?",
            "answer": "Pavel Lindqvist.",
            "evidence": "Pavel Lindqvist",
        },
        "ANSWER_OFF_QUESTION",
    ),
    "asks and tells": (
        {
            "question": "How often is the status page updated every 30 minutes?",
            "answer": "The status page is updated every 30 minutes until the incident is closed.",
            "evidence": "The status page is updated every 30 minutes",
            "fact": "every 30 minutes",
        },
        "ANSWER_IN_QUESTION",
    ),
    "says the question again": (
        {
            "question": "When is the filter of the Kestrel 40 changed?",
            "answer": "When is the filter of the Kestrel 40 changed?",
            "evidence": "The filter is changed every 600 hours",
        },
        "ANSWER_IN_QUESTION",
    ),
    "tells all": (
        {"question": "Why does the Kestrel 40 work at 4.5 bar pressure?", "answer": "The Kestrel 40 works at 4.5 bar."},
        "ANSWER_IN_QUESTION",
    ),
}


@pytest.mark.parametrize("parts", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_good_example_is_accepted(parts: dict[str, str]) -> None:
    """Free wording, inflection, line ends and quotation marks are no reason to drop."""
    verdict = judged(**parts)

    assert (verdict.drop_reason, verdict.detail) == ("", "")


@pytest.mark.parametrize(("parts", "reason"), DROPPED.values(), ids=DROPPED.keys())
def test_a_bad_example_is_dropped_for_its_reason(parts: dict[str, str], reason: str) -> None:
    """The reason is the first that applies; the detail says what the check saw."""
    verdict = judged(**parts)

    assert verdict.drop_reason == reason, verdict.detail
    assert len(verdict.detail) <= 200
    assert not verdict.accepted


def test_evidence_is_kept_as_it_stands_in_the_text() -> None:
    """Not the model's copy of it: the chunk's own characters, with their place."""
    verdict = judged(evidence="the relief valve opens at 5 bar and is made of brass")
    start, end = verdict.evidence_range

    assert verdict.evidence == TEXT[start:end] == "The relief valve opens at 5 bar and is made of\nbrass"


def test_an_instruction_need_not_be_a_question() -> None:
    """Instructions are checked like questions but for their form."""
    found = {"instruction": "Tell me what the relief valve is made of.", "answer": "Brass.", "evidence": "brass"}

    assert check(found, SOURCE, False).accepted


def test_names_are_not_looked_for_where_every_noun_has_a_capital() -> None:
    """In German a capitalised word is no name, so that one new noun is not taken for an invention."""
    text = "Der Druck der Pumpe beträgt 4,5 Bar. Das Ventil der Pumpe besteht aus Messing und der Filter aus Papier."
    source = Source("c", "f", "f.md", text, ("Handbuch",))
    question, answer = "Woraus besteht das Ventil der Pumpe?", "Das Ventil der Pumpe besteht aus Messing, also Metall."

    assert judged(question, answer, "besteht aus Messing", source=source).drop_reason == ""


def test_words_of_the_prompt_are_no_leak_where_the_document_is_about_them() -> None:
    """A manual about JSON may be asked about JSON."""
    source = Source("c", "f", "f.md", "The gateway stores each JSON schema for 30 days in the vault.", ("Gateway",))
    question = "For how long does the gateway store a JSON schema?"

    assert judged(question, "For 30 days.", "for 30 days", source=source).drop_reason == ""


def test_the_same_prompt_is_kept_once() -> None:
    """Case, spaces and marks do not make another question; the second names the first."""
    seen = Seen()
    first = seen.judge(Verdict("How long does it last?", "A year."))
    second = seen.judge(Verdict("how long  does it last", "Two years."))

    assert first.accepted
    assert (second.drop_reason, second.detail) == ("DUPLICATE", "How long does it last?")


def test_nearly_the_same_prompt_with_the_same_answer_is_kept_once() -> None:
    """Another order of words with the same answer is a double; with another answer it is not."""
    seen = Seen()
    seen.judge(Verdict("How many pages does the printed manual of the Kestrel have?", "36 pages."))

    assert (
        seen.judge(Verdict("How many pages has the printed manual of the Kestrel?", "36 pages.")).drop_reason
        or seen.judge(Verdict("The printed manual of the Kestrel does have how many pages?", "36 pages.")).drop_reason
    ) == "NEAR_DUPLICATE"
    assert seen.judge(Verdict("How many pages does the printed manual of the Wren have?", "12 pages.")).accepted


def test_what_was_dropped_is_no_double_of_anything() -> None:
    """A dropped example does not keep a good one with the same question out."""
    seen = Seen()
    seen.judge(Verdict("How long does it last?", "A year.", drop_reason="ANSWER_NOT_GROUNDED"))

    assert seen.judge(Verdict("How long does it last?", "Two years.")).accepted
