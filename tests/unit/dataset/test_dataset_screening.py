"""What an example may not hold: orders of a document, personal data by policy, the system message, canaries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.dataset.core.checks import of_wording
from services.dataset.core.example import Source, Verdict
from services.dataset.core.injection import orders
from services.dataset.core.marks import neutral
from services.dataset.core.screening import screen

ORDERS = (Path(__file__).parent / "injections.txt").read_text(encoding="utf-8").splitlines()
BEFORE, AFTER = "The Wren balance weighs 3 kilograms when it is empty.\n", "\nIts lid has 5 brass screws."
HARMLESS = [
    "Ignore the second beep: it only says that the lid is closed.",
    "The instructions above the door are to be followed.",
    "Answer the telephone with your name and the name of the company.",
    "The system prompts the user for a password.",
    "Previous versions of the pump had no filter.",
    "Employees who forget their badge ask at the front desk.",
    "The assistant of the director answers all letters within 3 days.",
    "Do not write on the display with sharp pens.",
    "Press START, then return the key to its hook.",
    "The rules of the laboratory must be read by all new staff.",
    "You are now ready to calibrate the balance.",
    "The output is always between 4 and 20 milliamperes.",
    "Act as quickly as you can when the red lamp is lit.",
    "Print two copies and give one to the customer.",
    "New tasks are written on the board: cleaning, oiling, testing.",
    "Repeat the measurement with an empty pan.",
    "Reply to every complaint within 5 working days.",
    "Die Anweisungen des Herstellers sind zu beachten.",
    "Les instructions de sécurité se trouvent à la page 4.",
    "Die vorherigen Modelle wurden bis 1998 gebaut.",
]


@pytest.mark.parametrize("order", ORDERS)
def test_orders_are_suspected_and_nothing_rests_on_them(order: str) -> None:
    """Neither the order as evidence nor its words with other evidence make an example."""
    source = neutral(Source("c", "f", "f.md", BEFORE + order + AFTER))
    rest = Verdict("What does the Wren balance weigh?", "The Wren balance weighs 3 kilograms.", BEFORE.strip(), (0, 52))
    at = source.text.index(order)
    obeyed = Verdict("What is the answer?", order, order, (at, at + len(order)))
    smuggled = replace(rest, response="PWNED-77")

    assert source.flags == ("SUSPECTED_INJECTION",)
    assert screen(rest, source).accepted
    assert screen(rest, source).flags == ("SUSPECTED_INJECTION",)
    assert screen(obeyed, source).drop_reason == "INJECTED"
    if "PWNED" in order:
        assert screen(smuggled, source).drop_reason == "INJECTED"


@pytest.mark.parametrize("text", HARMLESS)
def test_sentences_of_manuals_are_not_suspected(text: str) -> None:
    """Orders to people are what manuals are made of."""
    assert orders(text) == []


PERSONAL = Verdict(
    "Who helps with the pump?",
    "Write to jane@example.com.",
    "For help write to jane@example.com.",
    (0, 10),
    messages=({"role": "user", "content": "Ask jane@example.com"},),
    reasoning="jane@example.com it is",
)
PLAIN = Source("c", "f", "f.md", "For help write to jane@example.com.")


def test_personal_data_is_flagged_unless_a_policy_says_otherwise() -> None:
    """The texts stay as they are."""
    assert screen(PERSONAL, PLAIN) == replace(PERSONAL, flags=("PII_EMAIL",))
    assert screen(PERSONAL, PLAIN, policy={"*": "PII_ACTION_IGNORE"}) == PERSONAL


@pytest.mark.parametrize("policy", [{"EMAIL": "PII_ACTION_MASK"}, {"*": "PII_ACTION_MASK", "PHONE": "PII_ACTION_DROP"}])
def test_masking_takes_it_out_of_every_text(policy: dict[str, str]) -> None:
    """Prompt, response, evidence, conversation, reasoning and what is told of a drop."""
    found = screen(replace(PERSONAL, drop_reason="TOO_SHORT", detail="jane@example.com"), PLAIN, policy=policy)

    assert "jane" not in repr(found)
    assert found.response == "Write to [EMAIL]."
    assert found.messages == ({"role": "user", "content": "Ask [EMAIL]"},)
    assert found.evidence_range == PERSONAL.evidence_range
    assert found.drop_reason == "TOO_SHORT"


def test_dropping_keeps_no_trace() -> None:
    """The reason names the kind, never what was found."""
    found = screen(PERSONAL, PLAIN, policy={"EMAIL": "PII_ACTION_DROP"})

    assert (found.drop_reason, found.detail, found.flags) == ("PERSONAL_DATA", "EMAIL", ("PII_EMAIL",))
    assert "jane" not in repr(found)


SYSTEM = {
    "role": "system",
    "content": "You write one question about a fact in the passage, and its answer, in plain words.",
}


@pytest.mark.parametrize("field", ["prompt", "response", "reasoning"])
def test_the_system_message_does_not_leak(field: str) -> None:
    """Eight of its words in a row are enough, whatever the case; a document may have them itself."""
    text = "My task: you write ONE question about a fact in the passage and so on."
    leaky = replace(Verdict("What is it?", "It is so."), **{field: text})

    assert screen(leaky, PLAIN, [SYSTEM]).drop_reason == "LEAKED_INSTRUCTION"
    assert screen(leaky, replace(PLAIN, text=text), [SYSTEM]).accepted
    assert screen(replace(leaky, **{field: "You write one question."}), PLAIN, [SYSTEM]).accepted


def test_a_canary_is_found_however_it_is_written() -> None:
    """Case, quotation marks and spaces do not hide it; it is not told in full."""
    found = screen(Verdict("What is it?", "It is CANARY  ‘x’ 9Q7."), PLAIN, canaries=["canary 'x' 9q7"])

    assert found.drop_reason == "CANARY"
    assert "9q7" not in found.detail or len(found.detail) <= 21


@pytest.mark.parametrize(
    "text",
    [
        "What does the text say about the pump?",
        "What is mentioned above about the pump?",
        "Was steht in diesem Abschnitt über die Pumpe?",
        "Wie lange dauert es laut dem Text?",
        "Que dit-on dans ce passage sur la pompe ?",
        "Selon le texte, combien pèse la pompe ?",
        "¿Qué se dice en el texto sobre la bomba?",
        "O que se diz no texto sobre a bomba?",
        "Che cosa si dice nel testo sulla pompa?",
        "Wat staat er in de tekst over de pomp?",
    ],
)
def test_a_question_does_not_speak_of_the_text_before_it(text: str) -> None:
    """Whoever reads it later has no text before it: in seven languages."""
    assert of_wording(text, "It weighs 3 kilograms.")[0] == "SELF_REFERENCE"
