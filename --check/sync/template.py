"""Prompt templates: task types of one's own; blocking.

Made of resources/template.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from finetuneflow.dataset.v1 import prompt_template_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import Front, iterate, run
from finetuneflow_client.sync.resource import Resource


class Template(Resource):
    """One version of a template: what an LLM is asked, and how its reply becomes an example. It never changes."""

    of: resources.template.Template

    @property
    def message(self) -> prompt_template_pb2.PromptTemplate:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    def delete(self) -> None:
        """Remove this version; datasets that use it keep their copy. Raises FtfError as DeletePromptTemplate does."""
        return run(self.of.delete())


class Templates(Front):
    """The prompt templates of a server."""

    of: resources.template.Templates

    def create(
        self,
        id: str,
        *,
        text: str,
        reply_schema: Mapping[str, Any],
        mapping: Mapping[str, str],
        grounding: Literal["none", "answer", "evidence"] | None = None,
        scope: Literal["passage", "passages", "chunk"] | None = None,
    ) -> Template:
        """Make version 1 of a template, or the next one; the newest is returned if it is the same.

        Args:
            id: the template's part of the name.
            text: sections begun by lines of their own: "## system", worked examples, and last "## user".
            reply_schema: JSON schema (draft 2020-12) of the reply: an object.
            mapping: which properties of a reply are what of an example: {"prompt": "question", "response": "answer"}.
            grounding: how much of an example must stand in its document.
            scope: what one call is about.

        Raises:
            FtfError: INVALID_ARGUMENT, with reason TEMPLATE_INVALID where it cannot work; FAILED_PRECONDITION for the
                name of one that comes with the service.
        """
        return Template(
            run(
                self.of.create(
                    id, text=text, reply_schema=reply_schema, mapping=mapping, grounding=grounding, scope=scope
                )
            )
        )

    def get(self, id: str) -> Template:
        """Return the newest version of a template, or one version by its full name. Raises FtfError NOT_FOUND."""
        return Template(run(self.of.get(id)))

    def list(self) -> Iterator[Template]:
        """Yield every version of every template, those that come with the service first."""
        return map(Template, iterate(self.of.list()))
