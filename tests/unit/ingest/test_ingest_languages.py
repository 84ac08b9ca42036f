"""The language of a text."""

from __future__ import annotations

import pytest

from services.ingest.core.document import Block, ExtractedDocument
from services.ingest.core.plain import plain_document
from services.ingest.core.sample import MOST, sample
from services.ingest.languages import LangidLanguages

TEXTS = {
    "en": "The Kestrel pump moves coolant through laboratory lasers and sample furnaces. Its housing is blue.",
    "de": "Die Pumpe fördert Kühlmittel durch Laser und Öfen. Ihr Gehäuse ist blau und hat sechs Schrauben.",
    "fr": "La pompe fait circuler le liquide dans les lasers du laboratoire. Son boîtier est bleu et léger.",
    "es": "La bomba mueve el refrigerante por los láseres del laboratorio. Su carcasa es azul y muy ligera.",
    "pl": "Pompa tłoczy chłodziwo przez lasery i piece laboratoryjne. Jej obudowa jest niebieska i lekka.",
    "ru": "Насос подаёт охлаждающую жидкость в лабораторные лазеры и печи. Его корпус синего цвета.",
    "ja": "このポンプは実験室のレーザーと炉に冷却液を送ります。本体は青く、とても軽いです。",
    "ar": "تنقل المضخة سائل التبريد عبر أجهزة الليزر في المختبر. غلافها أزرق اللون وخفيف الوزن.",
}


@pytest.mark.parametrize("code", TEXTS)
async def test_a_language_is_told(code: str) -> None:
    """One sentence or two are enough."""
    assert await LangidLanguages().language(TEXTS[code]) == code


@pytest.mark.parametrize("text", ["", "12 | 13.5 | TRUE", "Hello there.", "x y z 1 2 3 foo bar q w e r t z u i o p a"])
async def test_where_there_is_too_little_no_language_is_named(text: str) -> None:
    """Numbers, a greeting, letters."""
    assert await LangidLanguages().language(text) == "und"


def test_a_sample_comes_from_all_over_the_text() -> None:
    """At most 3,000 characters, always the same ones, and no code."""
    document = plain_document("\n\n".join(f"Paragraph {n} " + "word " * 40 for n in range(500)))
    code = ExtractedDocument("x = 1", blocks=[Block(0, 5, "code", -1, 1)])

    found = sample(document)

    assert found == sample(document)
    assert len(found) <= MOST + 20
    assert "Paragraph 0 " in found
    assert "Paragraph 416 " in found
    assert sample(code) == ""
