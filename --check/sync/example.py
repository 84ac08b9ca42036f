"""Examples: one thing to learn each, with the words of the document that it rests on; blocking.

Made of resources/example.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence

from finetuneflow.dataset.v1 import example_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import run
from finetuneflow_client.sync.resource import Resource


class Example(Resource):
    """A prompt and a response, or a whole conversation, and where it comes from."""

    of: resources.example.Example

    @property
    def message(self) -> example_pb2.Example:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    @property
    def prompt(self) -> str:
        """The question or instruction."""
        return self.of.prompt

    @property
    def response(self) -> str:
        """The answer."""
        return self.of.response

    @property
    def evidence(self) -> str:
        """The words of the document that the answer rests on; empty where the task has none."""
        return self.of.evidence

    @property
    def accepted(self) -> bool:
        """Whether it is in the dataset."""
        return self.of.accepted

    @property
    def review(self) -> str:
        """What a person decided about its texts: "approved", "rejected", or ""."""
        return self.of.review

    def refresh(self) -> Example:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        return Example(run(self.of.refresh()))

    def source(self) -> str:
        """Return the chunk that it was made of, which a notebook then shows with the evidence marked.

        Empty for an imported example. Raises FtfError NOT_FOUND if the chunk is gone.
        """
        return run(self.of.source())

    def edit(self, *, prompt: str | None = None, response: str | None = None) -> Example:
        """Change its texts; frozen versions keep the old ones. Raises FtfError as UpdateExample does."""
        return Example(run(self.of.edit(prompt=prompt, response=response)))

    def approve(self, note: str | None = None, *, tags: Sequence[str] = ()) -> Example:
        """Say that it is good as it is; one that a check dropped is taken into the dataset.

        Raises:
            FtfError: FAILED_PRECONDITION if it has no prompt or no response; NOT_FOUND.
        """
        return Example(run(self.of.approve(note, tags=tags)))

    def reject(self, note: str | None = None, *, tags: Sequence[str] = ()) -> Example:
        """Say that it does not belong into the dataset."""
        return Example(run(self.of.reject(note, tags=tags)))

    def delete(self) -> None:
        """Delete it; frozen versions keep it. Raises FtfError NOT_FOUND."""
        return run(self.of.delete())

    def _repr_html_(self) -> str:
        """Return it for a notebook: its texts, and its evidence marked in the chunk, if that was fetched."""
        return self.of._repr_html_()
