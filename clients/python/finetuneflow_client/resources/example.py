"""Examples: one thing to learn each, with the words of the document that it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from finetuneflow.dataset.v1 import dataset_service_pb2, example_pb2, review_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow_client import names
from finetuneflow_client.errors import FtfError
from finetuneflow_client.places import place
from finetuneflow_client.resources import html
from finetuneflow_client.resources.resource import Resource

_DECIDED = {review_pb2.REVIEW_STATE_APPROVED: "approved", review_pb2.REVIEW_STATE_REJECTED: "rejected"}


class Example(Resource):
    """A prompt and a response, or a whole conversation, and where it comes from."""

    message: example_pb2.Example
    _chunk_text: str = ""

    @property
    def prompt(self) -> str:
        """The question or instruction."""
        return self.message.prompt

    @property
    def response(self) -> str:
        """The answer."""
        return self.message.response

    @property
    def evidence(self) -> str:
        """The words of the document that the answer rests on; empty where the task has none."""
        return self.message.evidence

    @property
    def accepted(self) -> bool:
        """Whether it is in the dataset."""
        return self.message.accepted

    @property
    def review(self) -> str:
        """What a person decided about its texts: "approved", "rejected", or ""."""
        return _DECIDED.get(self.message.review.state, "")

    async def refresh(self) -> Example:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        request = dataset_service_pb2.GetExampleRequest(name=self.name)
        self.message = await self._services.dataset.GetExample(request)
        return self

    async def source(self) -> str:
        """Return the chunk that it was made of, which a notebook then shows with the evidence marked.

        Empty for an imported example. Raises FtfError NOT_FOUND if the chunk is gone.
        """
        if self.message.chunk and not self._chunk_text:
            request = ingest_service_pb2.GetChunkRequest(name=self.message.chunk)
            self._chunk_text = (await self._services.ingest.GetChunk(request)).text
        return self._chunk_text

    async def _take_source(self, before: Example | None) -> None:
        """Have the chunk, if it is still there; the example before may have the same."""
        if before and before.message.chunk == self.message.chunk:
            self._chunk_text = before._chunk_text
        try:
            await self.source()
        except FtfError as error:
            if error.code != "NOT_FOUND":
                raise

    async def edit(self, *, prompt: str | None = None, response: str | None = None) -> Example:
        """Change its texts; frozen versions keep the old ones. Raises FtfError as UpdateExample does."""
        changed = {key: text for key, text in (("prompt", prompt), ("response", response)) if text is not None}
        request = dataset_service_pb2.UpdateExampleRequest(
            example=example_pb2.Example(name=self.name, prompt=prompt or "", response=response or ""),
            update_mask=FieldMask(paths=list(changed)),
        )
        self.message = await self._services.dataset.UpdateExample(request)
        return self

    async def approve(self, note: str | None = None, *, tags: Sequence[str] = ()) -> Example:
        """Say that it is good as it is; one that a check dropped is taken into the dataset.

        Raises:
            FtfError: FAILED_PRECONDITION if it has no prompt or no response; NOT_FOUND.
        """
        return await self._review(review_pb2.REVIEW_ACTION_APPROVE, note, tags)

    async def reject(self, note: str | None = None, *, tags: Sequence[str] = ()) -> Example:
        """Say that it does not belong into the dataset."""
        return await self._review(review_pb2.REVIEW_ACTION_REJECT, note, tags)

    async def delete(self) -> None:
        """Delete it; frozen versions keep it. Raises FtfError NOT_FOUND."""
        await self._services.dataset.DeleteExample(dataset_service_pb2.DeleteExampleRequest(name=self.name))

    def _repr_html_(self) -> str:
        """Return it for a notebook: its texts, and its evidence marked in the chunk, if that was fetched."""
        found = self.message
        said: dict[str, object] = {f"{n}. {turn.role}": turn.content for n, turn in enumerate(found.messages, start=1)}
        where = ", ".join(part for part in (found.file_display_name, place(found.place)) if part)
        dropped = "" if self.accepted else f"{found.drop_reason} {found.drop_detail}".strip()
        return html.facts(
            {
                **(said or {"prompt": self.prompt, "reasoning": found.reasoning, "response": self.response}),
                "evidence": html.marked(self._chunk_text, self.evidence),
                "source": where,
                "flags": ", ".join(found.flags),
                "dropped": dropped,
                "review": ", ".join(part for part in (self.review, found.review.note) if part),
            }
        )

    async def _review(
        self, action: review_pb2.ReviewAction.ValueType, note: str | None, tags: Sequence[str]
    ) -> Example:
        parent = names.parent(self.name)
        request = review_pb2.ReviewExamplesRequest(
            parent=parent, names=[self.name], action=action, add_tags=tags, note=note
        )
        if (await self._services.dataset.ReviewExamples(request)).skipped:
            message = f"{self.name} has no prompt or no response"
            raise FtfError(message, "write them with edit() first", code="FAILED_PRECONDITION")
        return await self.refresh()
