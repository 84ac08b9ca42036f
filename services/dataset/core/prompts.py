"""Prompt templates: versioned texts that make the messages of a call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from services.dataset.core.cues import cue
from services.dataset.core.example import Passage, Source

_SECTION = "## "


@dataclass(frozen=True)
class Template:
    """A prompt template.

    Args:
        version: name and number, "question-answer/1".
        system: the system message.
        shots: worked examples: (user, assistant) messages.
        user: the user message; {topic} and {passage} are filled in, and {cue}, {asking} (the same, in lower case) and
            {gap} where the passage has a fact to ask for; without one, a line that names them is left out.
        schema: JSON schema of the reply.
        asks: whether the prompt of an example must be a question.
    """

    version: str
    system: str
    shots: tuple[tuple[str, str], ...]
    user: str
    schema: dict[str, Any]
    asks: bool

    def messages(self, source: Source, passage: Passage) -> list[dict[str, str]]:
        """Return the messages of one call; the same part comes first every time, so that a server can cache it."""
        user = _fill(self.user, source, passage)
        shots = [
            {"role": role, "content": text}
            for shot in self.shots
            for role, text in zip(("user", "assistant"), shot, strict=True)
        ]
        return [{"role": "system", "content": self.system}, *shots, {"role": "user", "content": user}]

    def schema_for(self, source: Source, passage: Passage) -> dict[str, Any]:
        """Return the schema for one call: its evidence is the passage, so a server that keeps to it quotes well."""
        properties = self.schema["properties"]
        quote = _one_line(source.text[passage.start : passage.end])
        return {**self.schema, "properties": {**properties, "evidence": {"type": "string", "enum": [quote]}}}


def _fill(user: str, source: Source, passage: Passage) -> str:
    """Fill in a user message in one pass, so that a document's own braces stay as they are."""
    found = cue(source.text[passage.start : passage.end])
    values = {
        "topic": source.topic,
        "passage": _one_line(source.text[passage.shown_from : passage.end]),
        "cue": found.words if found else "",
        "asking": found.words[0].lower() + found.words[1:] if found else "",
        "gap": found.gapped if found else "",
    }
    lines = [line for line in user.split("\n") if found or not re.search(r"\{(cue|asking|gap)\}", line)]
    return re.sub(r"\{(topic|passage|cue|asking|gap)\}", lambda m: values[m.group(1)], "\n".join(lines))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def parse(version: str, text: str, schema: dict[str, Any]) -> Template:
    """Read a template's text: sections "## system", any number of "## user" and "## assistant", last "## user".

    Raises:
        ValueError: a section is missing or out of order.
    """
    sections: list[tuple[str, str]] = []
    for part in ("\n" + text).split("\n" + _SECTION)[1:]:
        role, _, body = part.partition("\n")
        sections.append((role.strip(), body.strip()))
    roles = [role for role, _ in sections]
    if (
        not roles
        or roles[0] != "system"
        or roles[-1] != "user"
        or roles[1:-1] != ["user", "assistant"] * (len(roles) // 2 - 1)
    ):
        raise ValueError(f"prompt {version}: sections must be system, (user, assistant)…, user; found {roles}")
    bodies = [body for _, body in sections[1:-1]]
    shots = tuple(zip(bodies[::2], bodies[1::2], strict=True))
    return Template(version, sections[0][1], shots, sections[-1][1], schema, asks="question" in schema["properties"])
