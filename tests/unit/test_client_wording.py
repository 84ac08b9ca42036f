"""How a server's message reads as the client says it."""

from __future__ import annotations

import pytest
from google.rpc import status_pb2

from finetuneflow_client.errors import from_status


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("There is no LLM endpoint. Run `ftf llm create`.", "there is no LLM endpoint — run `ftf llm create`"),
        ("There are several. Name one.", "there are several — name one"),
        ("Thereof.pdf has no text. Use OCR.", "Thereof.pdf has no text — use OCR"),
    ],
)
def test_what_there_is_reads_alike_from_server_and_client(message: str, said: str) -> None:
    """The client says "there is no model" of itself; names keep their letters."""
    error = from_status(status_pb2.Status(code=9, message=message))

    assert str(error) == said
