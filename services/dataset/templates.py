"""The prompt templates that come with the service; a changed text gets a new number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from services.dataset.core.prompts import Fields, Template, parse

CURRENT = {
    "TASK_TYPE_QUESTION_ANSWER": "question-answer/1",
    "TASK_TYPE_INSTRUCTION": "instruction/1",
    "TASK_TYPE_CHAT": "chat/1",
    "TASK_TYPE_SUMMARY": "summary/1",
    "TASK_TYPE_CLASSIFICATION": "classification/1",
    "TASK_TYPE_EXTRACTION": "extraction/1",
    "TASK_TYPE_REASONING": "reasoning/1",
}
"""Task type → template and version in use."""
QUESTION_TYPES = "question-types/1"
"""The template of questions whose kinds are chosen."""
BUILT_IN = (*CURRENT.values(), QUESTION_TYPES)


@cache
def template(version: str) -> Template:
    """Return a template that comes with the service by its version, such as "question-answer/1"."""
    return made(document(version))


def document(version: str) -> dict[str, Any]:
    """Return a template that comes with the service in the form in which templates of users are stored."""
    folder = files("services.dataset") / "prompts"
    stem = version.replace("/", "-")
    text, schema, how = ((folder / f"{stem}.{end}").read_text(encoding="utf-8") for end in ("md", "json", "how.json"))
    return {"version": version, "text": text, "reply_schema": schema, **json.loads(how)}


def template_of(dataset: Mapping[str, Any]) -> Template:
    """Return the template of a dataset: its own copy of a user's, or one that comes with the service."""
    stored = dataset.get("prompt_template") or {}
    if "text" in stored:
        return made(stored)
    return template(stored.get("version") or CURRENT[dataset["spec"]["task_type"]])


def made(stored: Mapping[str, Any]) -> Template:
    """Return a template from its stored form: version, text, reply_schema (JSON), task, scope, grounding, fields."""
    return parse(
        stored["version"],
        stored["text"],
        json.loads(stored["reply_schema"]),
        fields=Fields(**stored["fields"]),
        grounding=stored["grounding"],
        scope=stored["scope"],
        task=stored["task"],
    )
