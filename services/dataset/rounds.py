"""Rounds: what is asked beyond the plan until enough examples are accepted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from services.common.documents.port import Document
from services.dataset.core.example import Source
from services.dataset.core.focus import places
from services.dataset.core.masking import shown
from services.dataset.spec import Call, Plan, plan
from services.dataset.templates import template_of

MOST_PER_CHUNK = 20
SEEDS = 3
"""Times that a passage may be asked about again, with another seed each."""

Make = Callable[[dict[str, Any], Sequence[Call]], Plan]


class Maker:
    """Makes plans for a dataset's chunks, as its policy about personal data lets the LLM see them.

    Making one is CPU work where that policy masks or drops.

    Args:
        unasked: names of chunks that nothing is asked about; they are there for what the ends of others cut in two.
    """

    def __init__(
        self, dataset: Document, model: str, sources: Sequence[Source], unasked: Collection[str] = frozenset()
    ) -> None:
        self._model = model
        seen = shown(sources, dataset["spec"].get("pii_policy", {}))
        self._sources = [source for source in seen if source.chunk not in unasked]
        self._template = template_of(dataset)

    def __call__(self, settings: dict[str, Any], before: Sequence[Call] = ()) -> Plan:
        """Return the plan for these settings, without what the calls before it are about."""
        return plan(settings, self._model, self._sources, self._template, before)

    def most(self, spec: dict[str, Any]) -> int:
        """Return how many calls all rounds together can have at most, without making them."""
        kinds = max(1, len(spec.get("question_types", ())))
        places_ = (places(source.text, MOST_PER_CHUNK, self._template.scope, kinds) for source in self._sources)
        return sum(map(len, places_)) * (1 + SEEDS if spec["temperature"] else 1)


def specs(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the settings of each round: twice as many passages of a chunk each time, then other seeds."""
    first = {**spec, "max_examples": spec["max_examples"] or spec.get("accepted_examples", 0)}
    if not spec.get("accepted_examples"):
        return [first]
    found, per = [first], spec["examples_per_chunk"]
    while per < MOST_PER_CHUNK:
        per = min(2 * per, MOST_PER_CHUNK)
        found.append({**first, "examples_per_chunk": per})
    if spec["temperature"]:
        found += [{**found[-1], "seed": spec["seed"] + turn * 1_000_003} for turn in range(1, SEEDS + 1)]
    return found


def planned(spec: dict[str, Any], rounds: int, make: Make) -> Plan:
    """Return the plan of the first rounds together, each call once. CPU work: that of `make`, for each round.

    A round of further passages asks only about those, so that personas and kinds of question go on by turn; one with
    another seed asks about all of them again.
    """
    whole = make(specs(spec)[0], ())
    calls: list[Call] = list(whole.calls)
    known = {call.id for call in calls}
    for further in specs(spec)[1:rounds]:
        for call in make(further, calls if further["seed"] == spec["seed"] else ()).calls:
            if call.id not in known:
                known.add(call.id)
                calls.append(replace(call, index=len(calls)))
    return replace(whole, calls=calls)
