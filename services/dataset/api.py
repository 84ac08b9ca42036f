"""The dataset service's door. Translates, and decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from finetuneflow.dataset.v1 import dataset_pb2, example_pb2, llm_endpoint_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from services.common import ids
from services.common.auth import current_principal
from services.common.interceptors import Context
from services.common.objects.port import Objects
from services.common.objects.served import sent
from services.common.work import watch
from services.dataset import form
from services.dataset.accounts import Accounts
from services.dataset.accounts_api import AccountsApi
from services.dataset.comparison_api import ComparisonApi
from services.dataset.endpoints import Endpoints
from services.dataset.estimating import Estimator
from services.dataset.exporting import Exporter
from services.dataset.forgetting import Forgetting
from services.dataset.importing import Imports
from services.dataset.preview import Preview
from services.dataset.prompttemplates import PromptTemplates
from services.dataset.reporting import Reporting
from services.dataset.reviewing import EXAMPLE, Reviewing
from services.dataset.service import DATASET, Datasets
from services.dataset.statistics_api import StatisticsApi
from services.dataset.templateapi import PromptTemplateApi
from services.dataset.transfers_api import TransfersApi
from services.dataset.versions import Versions
from services.dataset.versions_api import VersionsApi

ENDPOINT = "llmEndpoints/*"


class DatasetApi(AccountsApi, StatisticsApi, VersionsApi, TransfersApi, PromptTemplateApi, ComparisonApi):
    """DatasetService."""

    def __init__(
        self,
        datasets: Datasets,
        endpoints: Endpoints,
        reviewing: Reviewing,
        preview: Preview,
        objects: Objects,
        accounts: Accounts,
        versions: Versions,
        forgetting: Forgetting,
        reporting: Reporting,
        imports: Imports,
        exporter: Exporter,
        templates: PromptTemplates,
        estimator: Estimator,
    ) -> None:
        AccountsApi.__init__(self, datasets, reviewing, accounts)
        StatisticsApi.__init__(self, reporting)
        ComparisonApi.__init__(self, endpoints)
        VersionsApi.__init__(self, datasets, versions, forgetting)
        TransfersApi.__init__(self, datasets, imports, objects, exporter)
        self._templates = templates
        self._datasets = datasets
        self._endpoints = endpoints
        self._reviewing = reviewing
        self._preview = preview
        self._objects = objects
        self._estimator = estimator

    async def CreateLlmEndpoint(
        self, request: pb.CreateLlmEndpointRequest, context: Context
    ) -> llm_endpoint_pb2.LlmEndpoint:
        """Record an endpoint."""
        doc = await self._endpoints.create(
            request.llm_endpoint,
            request.llm_endpoint_id,
            request.api_key,
            request.request_id,
            current_principal().name,
        )
        return form.endpoint(doc)

    async def GetLlmEndpoint(self, request: pb.GetLlmEndpointRequest, context: Context) -> llm_endpoint_pb2.LlmEndpoint:
        """Return an endpoint."""
        ids.parse_name(request.name, ENDPOINT)
        return form.endpoint(await self._endpoints.resources.get(request.name))

    async def ListLlmEndpoints(
        self, request: pb.ListLlmEndpointsRequest, context: Context
    ) -> pb.ListLlmEndpointsResponse:
        """Return a page of endpoints."""
        docs, token = await self._endpoints.resources.page({}, request.page_size, request.page_token)
        return pb.ListLlmEndpointsResponse(llm_endpoints=[form.endpoint(d) for d in docs], next_page_token=token)

    async def UpdateLlmEndpoint(
        self, request: pb.UpdateLlmEndpointRequest, context: Context
    ) -> llm_endpoint_pb2.LlmEndpoint:
        """Change an endpoint or its key."""
        ids.parse_name(request.llm_endpoint.name, ENDPOINT, "llm_endpoint.name")
        mask = list(request.update_mask.paths)
        return form.endpoint(await self._endpoints.update(request.llm_endpoint, mask, request.api_key))

    async def DeleteLlmEndpoint(
        self, request: pb.DeleteLlmEndpointRequest, context: Context
    ) -> pb.DeleteLlmEndpointResponse:
        """Forget an endpoint and its key."""
        ids.parse_name(request.name, ENDPOINT)
        await self._endpoints.delete(request.name)
        return pb.DeleteLlmEndpointResponse()

    async def PreviewExamples(self, request: pb.PreviewExamplesRequest, context: Context) -> pb.PreviewExamplesResponse:
        """Make a few examples and keep none."""
        resolved = await self._datasets.resolve(request.parent, request.spec)
        examples, usage = await self._preview.make(resolved, request.calls)
        return pb.PreviewExamplesResponse(examples=[form.example(e) for e in examples], usage=form.usage(usage))

    async def CreateDataset(self, request: pb.CreateDatasetRequest, context: Context) -> dataset_pb2.Dataset:
        """Queue generation, or say what it would take."""
        creator = current_principal().name
        if request.validate_only:
            planned = await self._datasets.planned(request.parent, request.dataset, request.dataset_id)
            return form.dataset({**planned, "creator": creator, "estimate": await self._estimator.of(planned)})
        doc = await self._datasets.create(
            request.parent, request.dataset, request.dataset_id, request.request_id, creator
        )
        return form.dataset(doc)

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Context) -> dataset_pb2.Dataset:
        """Return a dataset."""
        ids.parse_name(request.name, DATASET)
        return form.dataset(await self._datasets.resources.get(request.name))

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Context) -> pb.ListDatasetsResponse:
        """Return a page of a project's datasets."""
        ids.parse_name(request.parent, "projects/*", "parent")
        where = {"parent": request.parent}
        docs, token = await self._datasets.resources.page(where, request.page_size, request.page_token)
        return pb.ListDatasetsResponse(datasets=[form.dataset(d) for d in docs], next_page_token=token)

    async def DeleteDataset(self, request: pb.DeleteDatasetRequest, context: Context) -> pb.DeleteDatasetResponse:
        """Delete a dataset."""
        ids.parse_name(request.name, DATASET)
        await self._datasets.delete(request.name, request.etag)
        return pb.DeleteDatasetResponse()

    async def CancelDataset(self, request: pb.CancelDatasetRequest, context: Context) -> dataset_pb2.Dataset:
        """Stop generation."""
        ids.parse_name(request.name, DATASET)
        return form.dataset(await self._datasets.cancel(request.name))

    async def PauseDataset(self, request: pb.PauseDatasetRequest, context: Context) -> dataset_pb2.Dataset:
        """Pause generation."""
        ids.parse_name(request.name, DATASET)
        return form.dataset(await self._datasets.pause(request.name))

    async def ResumeDataset(self, request: pb.ResumeDatasetRequest, context: Context) -> dataset_pb2.Dataset:
        """Queue generation again."""
        ids.parse_name(request.name, DATASET)
        return form.dataset(await self._datasets.resume(request.name))

    async def WatchDataset(
        self, request: pb.WatchDatasetRequest, context: Context
    ) -> AsyncIterator[pb.WatchDatasetResponse]:
        """Send the dataset at every change until its work has ended or is paused."""
        ids.parse_name(request.name, DATASET)
        async for doc in watch(self._datasets.resources, request.name):
            yield pb.WatchDatasetResponse(dataset=form.dataset(doc))

    async def FreezeDataset(self, request: pb.FreezeDatasetRequest, context: Context) -> dataset_pb2.Dataset:
        """Make a version of the examples as they are."""
        ids.parse_name(request.name, DATASET)
        return form.dataset(await self._datasets.freeze(request.name, request.approved_only))

    async def DownloadDataset(
        self, request: pb.DownloadDatasetRequest, context: Context
    ) -> AsyncIterator[pb.DownloadDatasetResponse]:
        """Send a frozen version."""
        ids.parse_name(request.name, DATASET)
        version = await self._datasets.version(request.name, request.version)
        what = f"version {version['version']} of {request.name}"
        async for data in sent(self._objects, what, version["artifact"], request.offset, request.sha256):
            yield pb.DownloadDatasetResponse(data=data)

    async def GetExample(self, request: pb.GetExampleRequest, context: Context) -> example_pb2.Example:
        """Return an example."""
        ids.parse_name(request.name, EXAMPLE)
        return form.example(await self._reviewing.get(request.name))

    async def ListExamples(self, request: pb.ListExamplesRequest, context: Context) -> pb.ListExamplesResponse:
        """Return a page of a dataset's examples."""
        ids.parse_name(request.parent, DATASET, "parent")
        docs, token = await self._reviewing.page(request.parent, request.filter, request.page_size, request.page_token)
        return pb.ListExamplesResponse(examples=[form.example(d) for d in docs], next_page_token=token)

    async def UpdateExample(self, request: pb.UpdateExampleRequest, context: Context) -> example_pb2.Example:
        """Change an example."""
        ids.parse_name(request.example.name, EXAMPLE, "example.name")
        return form.example(await self._reviewing.update(request.example, list(request.update_mask.paths)))

    async def DeleteExample(self, request: pb.DeleteExampleRequest, context: Context) -> pb.DeleteExampleResponse:
        """Remove an example."""
        ids.parse_name(request.name, EXAMPLE)
        await self._reviewing.delete(request.name)
        return pb.DeleteExampleResponse()
