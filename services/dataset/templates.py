"""The prompt templates that come with the service; a changed text gets a new number."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from services.dataset.core.prompts import Template, parse

CURRENT = {"TASK_TYPE_QUESTION_ANSWER": "question-answer/1", "TASK_TYPE_INSTRUCTION": "instruction/1"}
"""Task type → template and version in use."""


@cache
def template(version: str) -> Template:
    """Return a template by its version, such as "question-answer/1"."""
    folder = files("services.dataset") / "prompts"
    stem = version.replace("/", "-")
    schema = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    return parse(version, (folder / f"{stem}.md").read_text(encoding="utf-8"), schema)
