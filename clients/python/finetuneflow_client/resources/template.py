"""Prompt templates: task types of one's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from finetuneflow.dataset.v1 import dataset_service_pb2, prompt_template_pb2
from finetuneflow_client import names
from finetuneflow_client.client import Services
from finetuneflow_client.filling import filled
from finetuneflow_client.resources.resource import Resource


class Template(Resource):
    """One version of a template: what an LLM is asked, and how its reply becomes an example. It never changes."""

    message: prompt_template_pb2.PromptTemplate

    async def delete(self) -> None:
        """Remove this version; datasets that use it keep their copy. Raises FtfError as DeletePromptTemplate does."""
        request = dataset_service_pb2.DeletePromptTemplateRequest(name=self.name)
        await self._services.dataset.DeletePromptTemplate(request)


class Templates:
    """The prompt templates of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def create(
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
        template = prompt_template_pb2.PromptTemplate(display_name=id, text=text, reply_schema=json.dumps(reply_schema))
        filled(template, {"mapping": mapping, "grounding": grounding, "scope": scope})
        request = dataset_service_pb2.CreatePromptTemplateRequest(prompt_template=template, prompt_template_id=id)
        return Template(self._services, await self._services.dataset.CreatePromptTemplate(request))

    async def get(self, id: str) -> Template:
        """Return the newest version of a template, or one version by its full name. Raises FtfError NOT_FOUND."""
        request = dataset_service_pb2.GetPromptTemplateRequest(name=names.full("promptTemplates", id))
        return Template(self._services, await self._services.dataset.GetPromptTemplate(request))

    async def list(self) -> AsyncIterator[Template]:
        """Yield every version of every template, those that come with the service first."""
        async for message in self._services.prompt_templates():
            yield Template(self._services, message)
