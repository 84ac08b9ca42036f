"""Examples in another language than their document, over real gRPC and real HTTP."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import llm_server as fake
from tests.fakes.datasets import (
    dataset_service,
    drops,
    examples,
    generated,
)
from tests.fakes.ingest import library, text
from tests.fakes.llm_server import Answer, Request, llm
from tests.service.test_dataset_tasks import TASKS, spoilt

GERMAN = {
    "question": "Wie schwer ist das Barometer, wenn es leer ist, und woran erkennt man das?",
    "answer": "Das Barometer ist ohne Inhalt sehr leicht, wie man auf der Waage leicht erkennt.",
}


async def test_examples_may_be_in_another_language_than_their_document(tmp_path: Path) -> None:
    """The prompt says so; the quote is still the document's own, and numbers are too. Others are WRONG_LANGUAGE."""

    def script(request: Request) -> Answer:
        return (spoilt(**GERMAN, reasoning=GERMAN["answer"]) if request.number % 2 else fake.good)(request)

    async with llm(script) as server, dataset_service(tmp_path, server, library(2)) as (stub, _):
        dataset = await generated(stub, language="de", **TASKS["reasoning"])
        found = await examples(stub, "*")

        assert drops(dataset) == {"WRONG_LANGUAGE": 2, "DUPLICATE": 1}
        assert {e.language for e in found} == {"de"}
        assert all("Write in German" in prompt for prompt in server.prompts)
        assert all(
            e.evidence in text(n) for n in range(4) for e in found if f"c{n % 2}" in e.chunk and f"f{n // 2}" in e.chunk
        )


async def test_replies_in_another_language_than_the_documents_are_told_as_such(tmp_path: Path) -> None:
    """Without a wanted language it is the document's; the example of a good reply names it."""
    documents = library(1)
    documents.language = "en"

    def script(request: Request) -> Answer:
        return (spoilt(**GERMAN) if request.number % 2 else fake.good)(request)

    async with llm(script) as server, dataset_service(tmp_path, server, documents) as (stub, _):
        dataset = await generated(stub)

        assert drops(dataset) == {"WRONG_LANGUAGE": 3}
        assert [e.language for e in await examples(stub)] == ["en"] * 3
