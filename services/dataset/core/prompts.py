"""Prompt templates: versioned texts that make the messages of a call, and say how its reply becomes an example."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from services.dataset.core.aim import Aim
from services.dataset.core.cues import cue
from services.dataset.core.example import Passage, Source

_SECTION = "## "
ALWAYS = ("topic", "passage", "chunk", "file")
"""Placeholders that every call has a value for."""
PER_CALL = ("cue", "asking", "gap", "context", "persona", "question_type", "asks_for", "labels", "fields")
"""Placeholders that some calls have no value for: a line that names one is then left out."""
PER_DATASET = ("language",)
"""Placeholders that the system message may have too: they have a value, the same in every call of a dataset."""
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
PASSAGE, PASSAGES, CHUNK = "PASSAGE", "PASSAGES", "CHUNK"
NONE, ANSWER, EVIDENCE = "NONE", "ANSWER", "EVIDENCE"
_FRAME = {"passage", "topic", "file", "context", "labels", "fields", "language"}
"""Placeholders of a prompt that do not tell one example about a passage from another about it."""
_ADDED = {
    "persona": "Write it as this person would say it: {persona}",
    "language": "Write in {language}. Quote evidence in the words of the passage.",
}
"""What is added to a user message that has no place for something the dataset's settings ask for."""


@dataclass(frozen=True)
class Fields:
    """Which fields of a reply are what of an example; "" for none.

    Args:
        prompt: the prompt.
        prompt_text: instead of a field: the prompt itself, with placeholders, where it does not come from the LLM.
        response: the response; a value that is not text becomes JSON.
        evidence: the quote.
        reasoning: what was thought before the response.
        turns: a list of {"user", "assistant"}: a conversation, in place of prompt and response.
    """

    prompt: str = ""
    prompt_text: str = ""
    response: str = ""
    evidence: str = ""
    reasoning: str = ""
    turns: str = ""


QUESTION = Fields(prompt="question", response="answer", evidence="evidence")


@dataclass(frozen=True)
class Template:
    """A prompt template.

    Args:
        version: name and number, "question-answer/1".
        system: the system message; may have the placeholders of PER_DATASET.
        shots: worked examples: (user, assistant) messages.
        user: the user message with placeholders. A line whose placeholder has no value is left out: {cue}, {asking}
            (the same, in lower case) and {gap} where the passage has no fact to ask for, {persona} without personas, …
        schema: JSON schema of the reply.
        asks: whether the prompt of an example must be a question.
        fields: how a reply becomes an example.
        grounding: EVIDENCE (a quote is found, and the response stands in the chunk), ANSWER (the latter) or NONE.
        scope: what one call is about: PASSAGE (a sentence), PASSAGES (a few that follow each other) or CHUNK.
        task: which checks a reply has to pass: a TaskType without its prefix.
    """

    version: str
    system: str
    shots: tuple[tuple[str, str], ...]
    user: str
    schema: dict[str, Any]
    asks: bool
    fields: Fields = field(default=QUESTION)
    grounding: str = EVIDENCE
    scope: str = PASSAGE
    task: str = "QUESTION_ANSWER"

    @property
    def name(self) -> str:
        """The name without the number."""
        return self.version.partition("/")[0]

    @property
    def only_frames(self) -> bool:
        """Whether an example's prompt is its passage, which is then its evidence, among words that all have."""
        named = set(PLACEHOLDER.findall(self.fields.prompt_text))
        return not self.fields.evidence and "passage" in named and named <= _FRAME

    @property
    def labels(self) -> bool:
        """Whether the response is one of the dataset's labels."""
        return self._names("labels")

    def messages(self, source: Source, passage: Passage, aim: Aim = Aim()) -> list[dict[str, str]]:  # noqa: B008 - frozen
        """Return the messages of one call; the same part comes first every time, so that a server can cache it."""
        wanted = {} if self.fields.prompt_text else _ADDED
        added = [line for name, line in wanted.items() if getattr(aim, name) and not self._names(name)]
        user = fill("\n".join([self.user, *added]), source, passage, aim, one_line=self.scope != CHUNK)
        shots = [
            {"role": role, "content": text}
            for shot in self.shots
            for role, text in zip(("user", "assistant"), shot, strict=True)
        ]
        return [self.system_message(aim), *shots, {"role": "user", "content": user}]

    def system_message(self, aim: Aim) -> dict[str, str]:
        """Return the first message of every call."""
        values = aim.values
        return {"role": "system", "content": _filled(self.system, {name: values[name] for name in PER_DATASET})}

    def schema_for(self, source: Source, passage: Passage, aim: Aim = Aim()) -> dict[str, Any]:  # noqa: B008 - frozen
        """Return the schema for one call, narrower than what is accepted, so that a server that keeps to it does well:
        as in every call, and the evidence of one sentence is that sentence.
        """
        if self.scope != PASSAGE or not self.fields.evidence:
            return self.schema_of_all(aim)
        quote = _one_line(source.text[passage.start : passage.end])
        return _narrowed(self.schema_of_all(aim), self.fields.evidence, [quote])

    def schema_of_all(self, aim: Aim = Aim()) -> dict[str, Any]:  # noqa: B008 - frozen
        """Return the schema that suits every call of a dataset: a label is one of the labels."""
        if not aim.labels or self.task != "CLASSIFICATION":
            return self.schema
        return _narrowed(self.schema, self.fields.response, list(aim.labels))

    def prompt_of(self, source: Source, passage: Passage, aim: Aim) -> str:
        """Return the prompt of an example that does not come from the LLM."""
        return fill(self.fields.prompt_text, source, passage, aim, one_line=self.scope == PASSAGE)

    def with_response(self, schema: dict[str, Any]) -> Template:
        """Return the same template with another schema of the response, as for the fields to extract."""
        properties = {**self.schema["properties"], self.fields.response: schema}
        return replace(self, schema={**self.schema, "properties": properties})

    def _names(self, placeholder: str) -> bool:
        return "{" + placeholder + "}" in self.system + self.user


def _narrowed(schema: dict[str, Any], name: str, texts: list[str]) -> dict[str, Any]:
    """Return a schema one of whose fields is one of some texts."""
    return {**schema, "properties": {**schema["properties"], name: {"type": "string", "enum": texts}}}


def fill(text: str, source: Source, passage: Passage, aim: Aim, *, one_line: bool = True) -> str:
    """Fill in a text in one pass, so that a document's own braces stay as they are."""
    found = cue(source.text[passage.start : passage.end]) if aim.language in ("", "en") else None
    shown = source.text[passage.shown_from : passage.end]
    values = {
        "topic": source.topic,
        "passage": _one_line(shown) if one_line else shown.strip(),
        "chunk": source.text.strip(),
        "file": source.file_name,
        "context": " > ".join(source.context),
        "cue": found.words if found else "",
        "asking": found.words[0].lower() + found.words[1:] if found else "",
        "gap": found.gapped if found else "",
        **aim.values,
    }
    return _filled(text, values)


def _filled(text: str, values: dict[str, str]) -> str:
    lines = []
    for line in text.split("\n"):
        named = [name for name in PLACEHOLDER.findall(line) if name in values]
        if all(values[name] for name in named if name not in ALWAYS):
            lines.append(PLACEHOLDER.sub(lambda m: values.get(m.group(1), m.group()), line))
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def sections(version: str, text: str) -> tuple[str, tuple[tuple[str, str], ...], str]:
    """Return system message, shots and user message of a template's text: sections "## system", any number of "## user"
    and "## assistant", last "## user".

    Raises:
        ValueError: a section is missing or out of order.
    """
    found: list[tuple[str, str]] = []
    for part in ("\n" + text).split("\n" + _SECTION)[1:]:
        role, _, body = part.partition("\n")
        found.append((role.strip(), body.strip()))
    roles = [role for role, _ in found]
    if (
        not roles
        or roles[0] != "system"
        or roles[-1] != "user"
        or roles[1:-1] != ["user", "assistant"] * (len(roles) // 2 - 1)
    ):
        raise ValueError(f"prompt {version}: sections must be system, (user, assistant)…, user; found {roles}")
    bodies = [body for _, body in found[1:-1]]
    return found[0][1], tuple(zip(bodies[::2], bodies[1::2], strict=True)), found[-1][1]


def parse(version: str, text: str, schema: dict[str, Any], **how: Any) -> Template:
    """Return the template of a text and a reply's schema; how: fields, grounding, scope and task, where not the usual.

    Raises:
        ValueError: a section of the text is missing or out of order.
    """
    system, shots, user = sections(version, text)
    made = Template(version, system, shots, user, schema, asks="question" in schema["properties"], **how)
    return replace(made, asks=made.asks and made.fields.prompt == "question")
