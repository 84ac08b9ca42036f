"""What the dataset service needs from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.dataset.core.example import Source


@dataclass(frozen=True)
class Reply:
    """What an LLM answered.

    Args:
        text: the reply as it came.
        prompt_tokens, completion_tokens: as the server counted them; 0 where it does not.
        retries: calls that failed before this one.
        late: those of them that ran into their time limit: the server may have read their prompts.
        finish_reason: why it ended, "length" where it came to max_tokens; "" where the server does not say.
        reasoning: what a thinking model thought, where the server keeps it apart from the text.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    retries: int
    reasoning: str = ""
    finish_reason: str = ""
    late: int = 0


class Llm(Protocol):
    """A chat-completions server."""

    async def complete(
        self,
        messages: Sequence[dict[str, str]],
        schema: dict[str, Any],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
        patience: float = 0,
    ) -> Reply:
        """Return the reply to some messages; patience: seconds that a server may be away before that is an error.

        Raises:
            Unavailable: it does not answer, or refuses (LLM_UNAVAILABLE).
        """
        ...


@dataclass(frozen=True)
class Document:
    """A file that examples can be written from: its name, its name for people, its bytes' SHA-256, its language."""

    name: str
    display_name: str
    sha256: str
    language: str = ""


class Documents(Protocol):
    """The ingest service."""

    async def project(self, name: str) -> None:
        """Return if the project exists. Raises NotFound, Unavailable."""
        ...

    async def files(self, project: str, names: Sequence[str]) -> list[Document]:
        """Return the chunked files of those names, or all of the project.

        Raises:
            NotFound: a named file does not exist.
            NotReady: a named file is not chunked, or none of the project is (NOT_CHUNKED).
        """
        ...

    async def facts(self, project: str, names: Sequence[str], everything: bool) -> list[dict[str, Any]]:
        """Return what reading and cutting made of files, for the ledger; a file that is gone is left out.

        Args:
            everything: all files of the project, not only the named ones.

        Returns:
            For each {"name", "display_name", "reason", "text", "characters"}: why it is not cut, "" for one that is;
            the balances {"stage", "in", "out", "dropped"} of its reading and its cutting, or None.
        """
        ...

    def chunks(self, file: Document) -> AsyncIterator[Source]:
        """Yield the chunks of a file in order. Raises NotFound, NotReady, Unavailable."""
        ...
