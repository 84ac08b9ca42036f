"""The part of the dataset service's door that leads to prompt templates."""

from __future__ import annotations

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import dataset_service_pb2_grpc, prompt_template_pb2
from services.common.auth import current_principal
from services.common.documents.port import Document
from services.common.interceptors import Context
from services.common.protoform import meta_to_proto
from services.dataset.prompttemplates import PromptTemplates
from services.dataset.templates import BUILT_IN


class PromptTemplateApi(dataset_service_pb2_grpc.DatasetServiceServicer):
    """The methods of DatasetService that are about prompt templates."""

    _templates: PromptTemplates

    async def CreatePromptTemplate(
        self, request: pb.CreatePromptTemplateRequest, context: Context
    ) -> prompt_template_pb2.PromptTemplate:
        """Make the next version of a template."""
        creator = current_principal().name
        return form(
            await self._templates.create(
                request.prompt_template, request.prompt_template_id, request.request_id, creator
            )
        )

    async def GetPromptTemplate(
        self, request: pb.GetPromptTemplateRequest, context: Context
    ) -> prompt_template_pb2.PromptTemplate:
        """Return a version of a template."""
        return form(await self._templates.get(request.name))

    async def ListPromptTemplates(
        self, request: pb.ListPromptTemplatesRequest, context: Context
    ) -> pb.ListPromptTemplatesResponse:
        """Return a page of versions of templates."""
        docs, token = await self._templates.page(request.page_size, request.page_token)
        return pb.ListPromptTemplatesResponse(prompt_templates=[form(d) for d in docs], next_page_token=token)

    async def DeletePromptTemplate(
        self, request: pb.DeletePromptTemplateRequest, context: Context
    ) -> pb.DeletePromptTemplateResponse:
        """Remove one version of a template, or all."""
        await self._templates.delete(request.name)
        return pb.DeletePromptTemplateResponse()


def form(doc: Document) -> prompt_template_pb2.PromptTemplate:
    """Return a version of a template as a message."""
    return prompt_template_pb2.PromptTemplate(
        name=doc["_id"],
        display_name=doc["display_name"],
        meta=meta_to_proto(doc) if "uid" in doc else None,
        version=int(doc["version"].partition("/")[2]),
        text=doc["text"],
        reply_schema=doc["reply_schema"],
        mapping=prompt_template_pb2.ReplyMapping(**doc["fields"]),
        grounding=prompt_template_pb2.Grounding.Value("GROUNDING_" + doc["grounding"]),
        scope=prompt_template_pb2.TemplateScope.Value("TEMPLATE_SCOPE_" + doc["scope"]),
        built_in=doc["version"] in BUILT_IN,
    )
