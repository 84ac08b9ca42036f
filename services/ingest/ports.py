"""What ingest needs from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from services.ingest.sandbox.job import Job

Progress = Callable[[str, int, int, str], Awaitable[None]]


@dataclass(frozen=True)
class ModelTokenizer:
    """The tokenizer of a registered model.

    Args:
        label: the model's name and revision.
        key: its tokenizer.json in the object store.
        sha256: of the file.
    """

    label: str
    key: str
    sha256: str


class Models(Protocol):
    """The hardware service."""

    async def tokenizer(self, name: str) -> ModelTokenizer:
        """Return the tokenizer of a model.

        Raises:
            NotFound: there is no such model.
            NotReady: it has no tokenizer.
        """
        ...


class Worker(Protocol):
    """Does jobs in processes of their own."""

    async def run(self, job: Job, progress: Progress, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Do a job and return its result; see child.Sandbox.run."""
        ...


class Languages(Protocol):
    """Tells languages."""

    async def language(self, text: str) -> str:
        """Return the language of a text as an ISO 639 code, such as "en"; "und" if it is too short or too mixed."""
        ...


class Ranks(Protocol):
    """Where cl100k_base is."""

    async def folder(self) -> Path:
        """Return a folder that is good as TIKTOKEN_CACHE_DIR.

        Raises:
            NotReady: this machine does not have cl100k_base.
        """
        ...
