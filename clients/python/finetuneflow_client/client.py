"""Services: the connection to a server, a typed stub for each service, and lists of messages as async iterators."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import grpc

from finetuneflow.common.v1 import server_service_pb2_grpc
from finetuneflow.dataset.v1 import dataset_service_pb2, dataset_service_pb2_grpc
from finetuneflow.export.v1 import export_service_pb2, export_service_pb2_grpc
from finetuneflow.hardware.v1 import hardware_service_pb2, hardware_service_pb2_grpc
from finetuneflow.ingest.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from finetuneflow.training.v1 import training_service_pb2, training_service_pb2_grpc
from finetuneflow_client.calls import Calls
from finetuneflow_client.connection import open_channel, ready
from finetuneflow_client.discovery import Server, find_server

if TYPE_CHECKING:
    from finetuneflow.dataset.v1 import dataset_pb2, example_pb2, llm_endpoint_pb2, prompt_template_pb2
    from finetuneflow.export.v1 import export_pb2
    from finetuneflow.hardware.v1 import model_pb2
    from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, project_pb2
    from finetuneflow.training.v1 import run_pb2

Request = TypeVar("Request", bound="_PageRequest")
Response = TypeVar("Response", bound="_Page")
Item = TypeVar("Item")


class _PageRequest(Protocol):
    page_token: str


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


class Services:
    """A server's five services. Made by connect(); one connection serves any number of concurrent calls.

    The attributes ingest, dataset, hardware, training, export and server are the generated asynchronous stubs: every
    call carries the token, unary calls have a deadline (30 s unless `timeout=` says otherwise), calls that may be sent
    twice are repeated for some seconds while the server is away, and failures are FtfError. The list methods yield
    every item, page by page.
    """

    def __init__(self, calls: Calls) -> None:
        # The generated classes say Channel; what they use of it is what Calls has.
        channel = cast("grpc.aio.Channel", calls)
        self.ingest = cast(
            "ingest_service_pb2_grpc.IngestServiceAsyncStub", ingest_service_pb2_grpc.IngestServiceStub(channel)
        )
        self.dataset = cast(
            "dataset_service_pb2_grpc.DatasetServiceAsyncStub", dataset_service_pb2_grpc.DatasetServiceStub(channel)
        )
        self.hardware = cast(
            "hardware_service_pb2_grpc.HardwareServiceAsyncStub", hardware_service_pb2_grpc.HardwareServiceStub(channel)
        )
        self.training = cast(
            "training_service_pb2_grpc.TrainingServiceAsyncStub", training_service_pb2_grpc.TrainingServiceStub(channel)
        )
        self.export = cast(
            "export_service_pb2_grpc.ExportServiceAsyncStub", export_service_pb2_grpc.ExportServiceStub(channel)
        )
        self.server = cast(
            "server_service_pb2_grpc.ServerServiceAsyncStub", server_service_pb2_grpc.ServerServiceStub(channel)
        )

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        server: str = "",
        token: str = "",
        *,
        token_file: str = "",
        state: str = "",
        tls_ca: str = "",
        profile: str = "",
        deadline: float = 30,
        wait: float = 3,
        patience: float = 5,
    ) -> AsyncIterator[Services]:
        """Connect to a server, and close the connection at the end of the block.

        Args:
            server: host:port, or https://host[:port] for TLS; empty: $FTF_SERVER, else a profile, else `ftf up`.
            token: bearer token; empty: token_file, $FTF_TOKEN, $FTF_TOKEN_FILE, else the state folder's.
            token_file: file with the token.
            state: state folder of `ftf up`; empty: $FTF_STATE, else its default place.
            tls_ca: file with the certificates to trust with TLS; empty: $FTF_TLS_CA, else the system's.
            profile: name of a server that `ftf login` recorded, instead of server and token; empty: $FTF_PROFILE, else
                the one in use.
            deadline: seconds that a unary call may take.
            wait: seconds to wait for the server to be there.
            patience: seconds for which a call that may be sent twice is repeated while the server is away.

        Raises:
            FtfError: UNAVAILABLE if no server is found or none answers; INVALID_ARGUMENT if the token or the
                certificates cannot be read.
        """
        if server and token:
            found = Server(server, token, tls_ca or os.environ.get("FTF_TLS_CA", ""))
        else:
            found = find_server(server, token_file, state, profile=profile, tls_ca=tls_ca)
        channel = open_channel(found.address, found.tls_ca)
        try:
            await ready(channel, found.address, wait, found.tls_ca)
            yield cls(Calls(channel, token or found.token, deadline, patience))
        finally:
            await channel.close()

    def projects(self) -> AsyncIterator[project_pb2.Project]:
        """Yield every project, oldest first."""
        request = ingest_service_pb2.ListProjectsRequest()
        return items(self.ingest.ListProjects, request, lambda page: page.projects)

    def files(self, project: str) -> AsyncIterator[file_pb2.File]:
        """Yield every file of a project, oldest first."""
        request = ingest_service_pb2.ListFilesRequest(parent=project)
        return items(self.ingest.ListFiles, request, lambda page: page.files)

    def chunks(self, file: str) -> AsyncIterator[chunk_pb2.Chunk]:
        """Yield every chunk of a file, in order. Raises FAILED_PRECONDITION (NOT_CHUNKED) before the first chunking."""
        request = ingest_service_pb2.ListChunksRequest(parent=file)
        return items(self.ingest.ListChunks, request, lambda page: page.chunks)

    def llm_endpoints(self) -> AsyncIterator[llm_endpoint_pb2.LlmEndpoint]:
        """Yield every LLM endpoint."""
        request = dataset_service_pb2.ListLlmEndpointsRequest()
        return items(self.dataset.ListLlmEndpoints, request, lambda page: page.llm_endpoints)

    def prompt_templates(self) -> AsyncIterator[prompt_template_pb2.PromptTemplate]:
        """Yield every version of every prompt template, those that come with the service first."""
        request = dataset_service_pb2.ListPromptTemplatesRequest()
        return items(self.dataset.ListPromptTemplates, request, lambda page: page.prompt_templates)

    def datasets(self, project: str) -> AsyncIterator[dataset_pb2.Dataset]:
        """Yield every dataset of a project, oldest first."""
        request = dataset_service_pb2.ListDatasetsRequest(parent=project)
        return items(self.dataset.ListDatasets, request, lambda page: page.datasets)

    def examples(self, dataset: str, filter: str = "") -> AsyncIterator[example_pb2.Example]:
        """Yield a dataset's examples: the accepted ones, or those that an AIP-160 filter chooses ("*": all)."""
        request = dataset_service_pb2.ListExamplesRequest(parent=dataset, filter=filter)
        return items(self.dataset.ListExamples, request, lambda page: page.examples)

    def models(self) -> AsyncIterator[model_pb2.Model]:
        """Yield every model, oldest first."""
        request = hardware_service_pb2.ListModelsRequest()
        return items(self.hardware.ListModels, request, lambda page: page.models)

    def runs(self, project: str) -> AsyncIterator[run_pb2.Run]:
        """Yield every run of a project, oldest first."""
        request = training_service_pb2.ListRunsRequest(parent=project)
        return items(self.training.ListRuns, request, lambda page: page.runs)

    def exports(self, project: str) -> AsyncIterator[export_pb2.Export]:
        """Yield every export of a project, oldest first."""
        request = export_service_pb2.ListExportsRequest(parent=project)
        return items(self.export.ListExports, request, lambda page: page.exports)


async def items(
    call: Callable[[Request], Awaitable[Response]], request: Request, pick: Callable[[Response], Iterable[Item]]
) -> AsyncIterator[Item]:
    """Yield the items of every page of a list, asking for the next page when the one before is used up."""
    while True:
        page = await call(request)
        for item in pick(page):
            yield item
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
