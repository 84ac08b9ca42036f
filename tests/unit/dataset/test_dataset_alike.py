"""What the calls of a plan have in common: it comes first and is the same, so that a server may keep it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from services.dataset.asking import Asker
from services.dataset.core.example import Source
from services.dataset.llm import Endpoint, LlmClient
from services.dataset.ports import Reply
from services.dataset.spec import plan
from services.dataset.spending import Spending
from services.dataset.store import Used, answered
from services.dataset.templates import CURRENT

SPEC: dict[str, Any] = {
    "task_type": "TASK_TYPE_QUESTION_ANSWER", "examples_per_chunk": 2, "max_examples": 0, "temperature": 0.3, "seed": 0,
    "llm_endpoint": "l", "max_tokens": 9,
}  # fmt: skip
SOURCES = [
    Source(
        f"c{n}",
        "f",
        "f.md",
        f"The manual of kind {n} has 3{n} pages. The Kestrel 4{n} weighs 9{n} kg without its base.",
    )
    for n in range(3)
]


class Overheard(LlmClient):
    """A client that answers by itself and keeps the schemas that were sent."""

    def __init__(self, url: str) -> None:
        super().__init__(Endpoint("llmEndpoints/e", url, "m", 4, 10))
        self.schemas: list[dict[str, Any]] = []

    async def complete(self, messages: Sequence[dict[str, str]], schema: dict[str, Any], **how: Any) -> Reply:
        """Answer nothing in particular."""
        self.schemas.append(schema)
        return Reply("{}", 1, 1, 0)


class Unkept:
    """Records of calls that nothing is looked up in."""

    async def get(self, uid: str, id: str) -> dict[str, Any] | None:
        """Return that there is none."""
        return None

    async def record(self, uid: str, id: str, reply: Reply, *taken: Any) -> dict[str, Any]:
        """Return the record."""
        return answered(reply)

    async def recorded(self, uid: str) -> tuple[dict[str, Used], set[str]]:
        """Return that nothing was used before."""
        return {}, set()

    async def delete(self, uid: str) -> None:
        """Remove nothing."""


@pytest.mark.parametrize("task", sorted(CURRENT))
def test_what_calls_have_in_common_comes_first_and_is_the_same(task: str) -> None:
    """System message, worked examples and the schema of all calls; what a call is about comes last."""
    labels = ["pump", "scale"] if task.endswith("CLASSIFICATION") else []
    calls = plan(SPEC | {"task_type": task, "labels": labels}, "m", SOURCES).calls
    first, *others = calls

    assert len(calls) >= 3
    for other in others:
        assert other.messages[:-1] == first.messages[:-1]
        assert other.messages[-1] != first.messages[-1]
        assert other.schema_of_all == first.schema_of_all


def test_what_a_call_is_known_by_does_not_depend_on_the_schema_that_is_sent() -> None:
    """Or calls that were answered before would be made again."""
    assert plan(SPEC, "m", SOURCES).calls[0].id == "dde03898b86450e07609d8072b26cddf"


@pytest.mark.parametrize(("url", "alike"), [("https://llm.example.com/v1", True), ("http://127.0.0.1:1/v1", False)])
async def test_a_hosted_llm_is_sent_the_same_schema_with_every_call(url: str, alike: bool) -> None:
    """What it prepared for the first call serves the others; one's own server is sent the sentence to quote."""
    calls = plan(SPEC, "m", SOURCES).calls
    client = Overheard(url)
    asker = Asker(client, Spending(Unkept(), {"uid": "u", "spec": SPEC}, {}), SPEC, 0)
    for call in calls:
        await asker.answer(call)
    await client.close()
    quotes = [schema["properties"]["evidence"].get("enum") for schema in client.schemas]

    assert len(quotes) == len(calls)
    assert (quotes == [None] * len(quotes)) is alike
    assert (len({str(schema) for schema in client.schemas}) == 1) is alike
