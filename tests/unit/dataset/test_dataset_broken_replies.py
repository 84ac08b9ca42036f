"""The corpus of broken replies: each is read as exactly what was meant, or dropped with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from services.dataset.core.aim import Aim
from services.dataset.core.asked import Asked
from services.dataset.core.example import Passage, Source
from services.dataset.core.replies import parse
from services.dataset.core.tasks import check
from services.dataset.templates import template

CORPUS = [
    json.loads(line)
    for line in (Path(__file__).parent / "broken_replies.jsonl").read_text(encoding="utf-8").splitlines()
]
"""Each with a name, the reply, and what comes of it: "reads", exactly this object, or "reason", why it is dropped.

Some have the "template" that they answer, where it is not question-answer/1. Some are "about" a text, and wanted in a
"language": these are checked too, and "drops" is why the checks drop them, or "".
"""
CUSTOM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"type": "string"}},
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"do": {"type": "string"}, "wait_seconds": {"type": "number"}},
                "required": ["do"],
            },
        },
        "note": {"type": ["string", "null"]},
    },
    "required": ["title", "score", "steps"],
}
"""The schema of a user's template, in the corpus "custom"."""


def _schema(case: dict[str, Any]) -> dict[str, Any]:
    version = case.get("template", "question-answer/1")
    return CUSTOM if version == "custom" else template(version).schema


@pytest.mark.parametrize("case", CORPUS, ids=[case["name"] for case in CORPUS])
def test_each_broken_reply_is_mended_or_dropped(case: dict[str, Any]) -> None:
    """Mended to exactly what was meant, or dropped for the right reason; what is kept can be stored."""
    schema = _schema(case)
    found, reason, detail = parse(case["reply"], schema)

    assert (found, reason) == (case.get("reads"), case.get("reason", ""))
    assert len(detail) <= 200
    if found is not None:
        assert not list(jsonschema.Draft202012Validator(schema).iter_errors(found))
        assert json.loads(json.dumps(found, ensure_ascii=False).encode()) == found


def test_the_corpus_is_large_and_has_no_double() -> None:
    """More than 480 replies, all different; some are longer than 3,000 characters, and are read all the same."""
    assert len(CORPUS) > 480
    assert len({case["reply"] for case in CORPUS}) == len({case["name"] for case in CORPUS}) == len(CORPUS)
    assert sum(len(case["reply"]) > 3_000 and "reads" in case for case in CORPUS) >= 10


CHECKED = [case for case in CORPUS if "about" in case]


@pytest.mark.parametrize("case", CHECKED, ids=[case["name"] for case in CHECKED])
def test_what_was_mended_is_checked_as_any_reply_is(case: dict[str, Any]) -> None:
    """A mended reply in another language than the wanted one is WRONG_LANGUAGE; a value made up is not found."""
    known, source = template(case["template"]), Source("c", "f", "manual.md", case["about"])
    found, _, _ = parse(case["reply"], known.schema)
    assert found is not None
    asked = Asked(known, source, Passage(0, len(source.text), 0), Aim(language=case.get("language", "")))

    assert check(found, asked).drop_reason == case["drops"]
