"""What is made only if it is not there yet, and what is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from finetuneflow.dataset.v1 import dataset_service_pb2, llm_endpoint_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2, project_pb2
from finetuneflow_client import names
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow_client.client import Services

Found = TypeVar("Found")


async def got_or_made(get: Callable[[], Awaitable[Found]], make: Callable[[], Awaitable[Found]]) -> Found:
    """Return what is there, else what is made; somebody else may have made it in between."""
    try:
        return await get()
    except FtfError as error:
        if error.code != "NOT_FOUND":
            raise
    try:
        return await make()
    except FtfError as error:
        if error.code != "ALREADY_EXISTS":
            raise
    return await get()


async def project(flow: Services, id: str, wanted: project_pb2.Project) -> project_pb2.Project:
    """Return the project of an id; it is made as `wanted` if it is not there."""

    async def make() -> project_pb2.Project:
        request = ingest_service_pb2.CreateProjectRequest(project=wanted, project_id=id)
        return await flow.ingest.CreateProject(request)

    async def get() -> project_pb2.Project:
        return await flow.ingest.GetProject(ingest_service_pb2.GetProjectRequest(name=f"projects/{id}"))

    return await got_or_made(get, make)


async def llm_endpoint(flow: Services, base_url: str, model: str, key: str) -> llm_endpoint_pb2.LlmEndpoint:
    """Return the LLM endpoint for a URL and a model; it is made if there is none.

    One of the id that follows from both goes first, then the oldest one of that URL and model, whatever its id; with a
    key only one that has a key.
    """
    id = names.derived("llm", base_url, model)

    async def make() -> llm_endpoint_pb2.LlmEndpoint:
        async for other in flow.llm_endpoints():
            same = (other.base_url.rstrip("/"), other.model) == (base_url.rstrip("/"), model)
            if same and (other.has_api_key or other.api_key_secret or not key):
                return other
        endpoint = llm_endpoint_pb2.LlmEndpoint(display_name=model, base_url=base_url, model=model)
        return await flow.dataset.CreateLlmEndpoint(
            dataset_service_pb2.CreateLlmEndpointRequest(llm_endpoint=endpoint, llm_endpoint_id=id, api_key=key)
        )

    async def get() -> llm_endpoint_pb2.LlmEndpoint:
        return await flow.dataset.GetLlmEndpoint(dataset_service_pb2.GetLlmEndpointRequest(name=f"llmEndpoints/{id}"))

    return await got_or_made(get, make)


async def changed_endpoint(
    flow: Services, name: str, fields: Mapping[str, Any], api_key: str
) -> llm_endpoint_pb2.LlmEndpoint:
    """Return an LLM endpoint with other values of some of its fields, and another key if one is given."""
    request = dataset_service_pb2.UpdateLlmEndpointRequest(
        llm_endpoint=llm_endpoint_pb2.LlmEndpoint(name=name, **fields),
        update_mask=FieldMask(paths=list(fields)) if fields else None,
        api_key=api_key,
    )
    return await flow.dataset.UpdateLlmEndpoint(request)
