"""What to generate: defaults and ranges of a dataset's settings, and the plan of calls."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetuneflow.dataset.v1 import dataset_pb2
from services.common.errors import InvalidArgument
from services.common.numerals import plain
from services.dataset.core.aim import Aim, aims
from services.dataset.core.cues import cue
from services.dataset.core.example import Passage, Source
from services.dataset.core.focus import places
from services.dataset.core.prompts import Template
from services.dataset.core.purposes import EMBEDDED, JUDGED
from services.dataset.qualityspec import quality
from services.dataset.templates import CURRENT, template

_RANGES: dict[str, tuple[float, float, float]] = {
    # field: default, least, most
    "examples_per_chunk": (3, 1, 20),
    "max_examples": (0, 0, 1_000_000),
    "eval_fraction": (0.15, 0, 0.9),
    "recall_fraction": (0.1, 0, 0.5),
    "temperature": (0.3, 0, 2),
    "max_tokens": (512, 16, 32_768),
    "accepted_examples": (0, 0, 1_000_000),
    "max_tokens_total": (0, 0, 10**15),
    "max_cost": (0, 0, 10**9),
}
_NONE = {
    "max_examples": ", 0 for no limit",
    "accepted_examples": ", 0 for no goal",
    "max_tokens_total": ", 0 for no limit",
    "max_cost": ", 0 for no limit",
}
_OPTIONAL = ("eval_fraction", "recall_fraction", "temperature")
MAX_SYSTEM_PROMPT = 8192


def complete(wanted: dataset_pb2.DatasetSpec) -> dict[str, Any]:
    """Return the settings with every default filled in; files and llm_endpoint stay as they are.

    Those of its task come with its template: see tasksettings.

    Raises:
        InvalidArgument: a setting is out of range; the message names it and the range.
    """
    spec: dict[str, Any] = {
        "files": list(dict.fromkeys(wanted.files)),
        "llm_endpoint": wanted.llm_endpoint,
        "seed": wanted.seed,
    }
    present = {field.name for field, _ in wanted.ListFields()}
    for field, (default, least, most) in _RANGES.items():
        given = field in present if field in _OPTIONAL else getattr(wanted, field) != 0
        value = getattr(wanted, field) if given else default
        if not least <= value <= most:
            rule = f"use {plain(least)} to {plain(most)}{_NONE.get(field, '')}"
            raise InvalidArgument(f"{field} is {plain(value)}; {rule}.", field=f"spec.{field}")
        spec[field] = float(value) if field in (*_OPTIONAL, "max_cost") else int(value)
    if len(wanted.system_prompt) > MAX_SYSTEM_PROMPT:
        raise InvalidArgument(
            f"system_prompt is longer than {MAX_SYSTEM_PROMPT} characters.", field="spec.system_prompt"
        )
    spec["system_prompt"] = wanted.system_prompt
    spec.update(quality(wanted))
    return spec


def used_endpoints(spec: dict[str, Any]) -> dict[str, str]:
    """Return the names of the endpoints that a dataset asks, by what they are asked for; "" for its examples."""
    settings = {JUDGED: spec.get("judge"), EMBEDDED: spec.get("semantic_duplicates")}
    further = {purpose: found["llm_endpoint"] for purpose, found in settings.items() if found}
    return {"": spec["llm_endpoint"], **further}


@dataclass(frozen=True)
class Call:
    """One call to the LLM.

    Args:
        id: hash of everything that decides the reply: prompt, model, parameters, chunk.
        index: place in the plan.
        template: what its messages are made of, whenever they are asked for: plans of many calls stay small.
        fact: what the passage was chosen for, and the question asks for; "" for nothing in particular.
        passage: the part of the chunk that it is about.
        aim: what it is to bring beyond that.
    """

    id: str
    index: int
    source: Source
    template: Template
    fact: str
    passage: Passage
    aim: Aim

    @property
    def messages(self) -> Sequence[dict[str, str]]:
        """What is asked, made anew each time. CPU work: less than 0.1 ms."""
        return self.template.messages(self.source, self.passage, self.aim)

    @property
    def system(self) -> dict[str, str]:
        """The first of its messages."""
        return self.template.system_message(self.aim)

    @property
    def schema(self) -> dict[str, Any]:
        """What the server is asked to keep the reply to; narrower than what is accepted, and this call's own."""
        return self.template.schema_for(self.source, self.passage, self.aim)

    @property
    def schema_of_all(self) -> dict[str, Any]:
        """The same, but for every call of the plan alike."""
        return self.template.schema_of_all(self.aim)


@dataclass(frozen=True)
class Plan:
    """Every call of a dataset, in order.

    Args:
        chunks: chunks that there are.
        bare: chunks without a passage worth asking about.
        withheld: chunks that the LLM may not see → the kinds of personal data or secrets in them.
    """

    template: Template
    calls: Sequence[Call]
    chunks: int
    bare: int
    withheld: Mapping[str, str]


def plan(
    spec: dict[str, Any],
    model: str,
    sources: Sequence[Source],
    chosen: Template | None = None,
    before: Sequence[Call] = (),
) -> Plan:
    """Return the calls for some chunks, the same ones every time. CPU work: about 1 ms a chunk.

    They are in the order of the chunks. With max_examples, each file's first chunk comes before any file's second one,
    and every chunk's first passage before any second one, so that all documents have their share of a small dataset.

    Args:
        chosen: the prompt template; None for the task type's own.
        before: calls that are planned already: what they are about is left out, and turns go on behind them.
    """
    chosen = chosen or template(CURRENT[spec["task_type"]])
    if spec.get("extraction_schema") and chosen.task == "EXTRACTION":
        chosen = chosen.with_response(json.loads(spec["extraction_schema"]))
    kinds = max(1, len(spec.get("question_types", ())))
    found = [(source, places(source.text, spec["examples_per_chunk"], chosen.scope, kinds)) for source in sources]
    wanted = [(turn, source, passage) for source, some in found for turn, passage in enumerate(some)]
    if spec["max_examples"]:
        rank = _ranks(sources)
        wanted.sort(key=lambda place: (place[0], rank[place[1].chunk]))
    known = [((call.source.chunk, call.passage.start), call.aim.question_type) for call in before]
    wanted = _without(wanted, Counter(place for place, _ in known))
    turns = aims(spec, [(source.chunk, passage.start) for _, source, passage in wanted], known)
    calls = [
        _call(index, spec, model, chosen, source, passage, aim)
        for index, ((_, source, passage), aim) in enumerate(zip(wanted, turns, strict=True))
    ]
    withheld = {source.chunk: source.withheld for source in sources if source.withheld}
    bare = sum(not some for _, some in found) - len(withheld)
    return Plan(chosen, calls, len(sources), bare, withheld)


def _without(
    wanted: Sequence[tuple[int, Source, Passage]], known: Counter[tuple[str, int]]
) -> list[tuple[int, Source, Passage]]:
    """Return what is wanted, each place as often less as it is known."""
    left = []
    for one in wanted:
        place = (one[1].chunk, one[2].start)
        if known[place]:
            known[place] -= 1
        else:
            left.append(one)
    return left


def _ranks(sources: Sequence[Source]) -> dict[str, int]:
    """Return each chunk's place in its file."""
    seen: Counter[str] = Counter()
    ranks = {}
    for source in sources:
        ranks[source.chunk] = seen[source.file]
        seen[source.file] += 1
    return ranks


def _call(
    index: int, spec: dict[str, Any], model: str, chosen: Template, source: Source, passage: Passage, aim: Aim
) -> Call:
    messages = chosen.messages(source, passage, aim)
    identity = _identity(spec, model, chosen, source, passage, messages)
    asked = chosen.scope == "PASSAGE" and ("{cue}" in chosen.user or "{asking}" in chosen.user)
    known = cue(source.text[passage.start : passage.end]) if asked and aim.language in ("", "en") else None
    return Call(identity, index, source, chosen, known.fact if known else "", passage, aim)


def _identity(
    spec: dict[str, Any],
    model: str,
    chosen: Template,
    source: Source,
    passage: Passage,
    messages: Sequence[dict[str, str]],
) -> str:
    parts = [
        spec["llm_endpoint"], model, spec["temperature"], spec["max_tokens"], spec["seed"], chosen.version,
        chosen.schema, source.file, source.text_sha256, source.spans, passage.start, passage.end, messages,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
