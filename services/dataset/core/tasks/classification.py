"""Texts with the label that fits them."""

from __future__ import annotations

from typing import Any

from services.dataset.core.asked import Asked
from services.dataset.core.example import Verdict
from services.dataset.core.tasks import parts


def check(found: dict[str, Any], asked: Asked) -> Verdict:
    """Judge a label: it must be one of the dataset's, whatever its case; it is then spelt as there."""
    said = parts.text(found.get(asked.template.fields.response) or "").strip(" .")
    labels = {label.casefold(): label for label in asked.aim.labels}
    label = labels.get(said.casefold(), "")
    prompt = asked.template.prompt_of(asked.source, asked.passage, asked.aim)
    evidence, where, _ = parts.quoted(found, asked)
    reason, detail = ("", "") if label else ("WRONG_LABEL", said[:200])
    return Verdict(prompt, label or said, evidence, where, reason, detail)
