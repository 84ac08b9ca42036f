"""Values copied from a text into the fields of a JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from services.dataset.core.asked import Asked
from services.dataset.core.evidence import find
from services.dataset.core.example import Verdict
from services.dataset.core.tasks import parts
from services.dataset.core.words import known_numbers


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge an extraction: something was found, and every value of it stands in the text."""
    value = _filled(found.get(asked.template.fields.response))
    response = json.dumps(value, ensure_ascii=False) if value else ""
    prompt = asked.template.prompt_of(asked.source, asked.passage, asked.aim)
    evidence, where, _ = parts.quoted(found, asked)
    reason, detail = ("", "") if value else ("NOTHING_EXTRACTED", "every field is empty")
    for name, leaf in _leaves(value) if value else ():
        if not _stands(leaf, asked.source.text):
            reason, detail = "VALUE_NOT_FOUND", f"{name}: {leaf}"[:200]
            break
    return Verdict(prompt, response, evidence, where, reason, detail)


def _filled(value: Any) -> Any:
    """Return a value without what is empty in it."""
    if isinstance(value, dict):
        return {key: kept for key, inner in value.items() if (kept := _filled(inner)) not in (None, "", [], {})}
    if isinstance(value, list):
        return [kept for inner in value if (kept := _filled(inner)) not in (None, "", [], {})]
    return value.strip() if isinstance(value, str) else value


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every text and number with its path; true and false cannot be looked for."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{place}]")
    elif not isinstance(value, bool):
        yield name, value


def _stands(value: Any, text: str) -> bool:
    if isinstance(value, str):
        return find(value, text) is not None
    known = {number.replace(",", "") for number in known_numbers(text)}
    return f"{value:g}" in known or str(value) in known
