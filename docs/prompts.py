"""The page of the prompt templates that come with the service, a part of docs/reference.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from services.dataset import templates
from services.dataset.core import templatecheck
from services.dataset.core.prompts import ALWAYS, PER_CALL, PER_DATASET

_INTRODUCTION = """# Prompt templates

Made by `make docs` of the texts that the service sends. `ftf template show chat` prints one; `ftf template list` those
of users too. A version never changes: a changed text gets the next number, and a dataset keeps a copy of the one it was
made with. How to write one of your own: [task types](../task-types.md#a-task-type-of-your-own).

Placeholders of the last user section: {placeholders}. Those that always have a value are {always}; a line that names
one without a value is left out. Only {system} may stand in the system section. A text has {text:,} characters at most,
a schema {schema:,}.
"""


def page() -> str:
    """Return the page."""
    known = (*ALWAYS, *PER_CALL, *PER_DATASET)
    introduction = _INTRODUCTION.format(
        placeholders=_listed(known),
        always=_listed(ALWAYS),
        system=_listed(PER_DATASET),
        text=templatecheck.MAX_TEXT,
        schema=templatecheck.MAX_SCHEMA,
    )
    return introduction + "".join("".join(_template(version)) for version in templates.BUILT_IN)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{{{name}}}`" for name in names)


def _template(version: str) -> Iterator[str]:
    """Yield the section of a template: what it is for, its text, its schema, what becomes of a reply."""
    found: dict[str, Any] = templates.document(version)
    uses = [task for task, used in templates.CURRENT.items() if used == version]
    used = f"`{uses[0]}`" if uses else "questions whose kinds are chosen (`--question-types`)"
    mapped = ", ".join(f"{what} = `{name}`" for what, name in found["fields"].items() if name)
    yield f"\n## {version}\n\nFor {used}. One call is about a {found['scope'].lower()}; grounding: "
    yield f"{found['grounding'].lower()}; of the reply {mapped}.\n\n"
    yield f"```text\n{found['text'].strip()}\n```\n\nSchema of the reply:\n\n"
    yield f"```json\n{json.dumps(json.loads(found['reply_schema']), ensure_ascii=False)}\n```\n"
