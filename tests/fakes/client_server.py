"""A real gRPC server with servicers that keep everything in memory, for tests of the client.

async with served(World()) as server: … server.address, server.token, server.world. A World may be served again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from finetuneflow.common.v1 import server_service_pb2_grpc
from finetuneflow.dataset.v1 import dataset_service_pb2_grpc
from finetuneflow.export.v1 import export_pb2, export_service_pb2, export_service_pb2_grpc
from finetuneflow.hardware.v1 import hardware_service_pb2_grpc
from finetuneflow.ingest.v1 import ingest_service_pb2_grpc
from finetuneflow.training.v1 import config_pb2, run_pb2, training_service_pb2_grpc
from finetuneflow_client.discovery import process_start
from services.export.attestation import Attester
from tests.fakes.client_datasets import Dataset
from tests.fakes.client_training import Training
from tests.fakes.client_world import Hardware, Ingest, Server, World, abort, done, found, paged

TOKEN = "a-token"


class Export(export_service_pb2_grpc.ExportServiceServicer):
    """Exports of one large file and a manifest."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def ListOrphans(self, request: Any, context: Any) -> Any:
        return export_service_pb2.ListOrphansResponse(orphans=self.world.orphaned_exports)

    async def CreateExport(self, request: Any, context: Any) -> Any:
        self.world.calls.append("CreateExport")
        run = self.world.runs.get(request.export.run, run_pb2.Run())
        if run.config.method == config_pb2.METHOD_FULL and request.export.format == export_pb2.FORMAT_ADAPTER:
            await abort(context, "FAILED_PRECONDITION", "It has no adapter. Export it as merged.", "NO_ADAPTER")
        if self.world.faults.get("forgot") and not request.export.accept_forgetting:
            await abort(context, "FAILED_PRECONDITION", "It forgot too much. Train less.", "FORGOT")
        name = f"{request.parent}/exports/{request.export_id or 'x1'}"
        artifacts = [
            self.world.artifact("model.safetensors", os.urandom(3 << 20)),
            self.world.artifact("sub/m.json", b"{}"),
        ]
        export = export_pb2.Export(name=name, work=done("export"), artifacts=artifacts)
        export.MergeFrom(request.export)
        export.origin.CopyFrom(origin(run))
        self.world.exports[name] = export
        return export

    async def GetExport(self, request: Any, context: Any) -> Any:
        return await found(context, self.world.exports, request.name)

    async def ListExports(self, request: Any, context: Any) -> Any:
        page, token = paged(self.world.exports, request.parent, request)
        return export_service_pb2.ListExportsResponse(exports=page, next_page_token=token)

    async def WatchExport(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield export_service_pb2.WatchExportResponse(export=await found(context, self.world.exports, request.name))

    async def GetAttestation(self, request: Any, context: Any) -> Any:
        export = await found(context, self.world.exports, request.name)
        attester = Attester(bytes(32))
        subject = {"artifacts": [{"filename": a.filename, "sha256": a.sha256} for a in export.artifacts]}
        doc = {"_id": export.name, "format": "FORMAT_ADAPTER", "documents": [], "adapter_files": [], "result": {}}
        run = dict.fromkeys(("name", "dataset", "dataset_version", "dataset_sha256", "model", "model_revision"), "")
        key = export_service_pb2.GetSigningKeyResponse(key_id=attester.key_id, pem=attester.public_pem)
        envelope = attester.attest({**doc, **subject, "run_record": run})
        return export_service_pb2.GetAttestationResponse(envelope=envelope, key=key)

    async def DownloadExportArtifact(self, request: Any, context: Any) -> AsyncIterator[Any]:
        export = await found(context, self.world.exports, request.name)
        artifact = next(a for a in export.artifacts if a.filename == request.filename)
        self.world.calls.append(f"Download {request.filename} from {request.offset}")
        data = self.world.content[artifact.sha256]
        if self.world.happens("damage"):
            data = bytes(len(data))
        for begin in range(request.offset, len(data), 1 << 20):
            yield export_service_pb2.DownloadExportArtifactResponse(data=data[begin : begin + (1 << 20)])
            if self.world.happens("download breaks"):
                await abort(context, "UNAVAILABLE", "going down")


def origin(run: run_pb2.Run) -> export_pb2.Origin:
    """Return what an export records of its run."""
    return export_pb2.Origin(
        dataset=run.dataset,
        dataset_version=run.dataset_version,
        dataset_sha256=run.dataset_sha256,
        earlier_dataset_sha256s=run.earlier_dataset_sha256s,
        resume_from_checkpoint=run.resume_from_checkpoint,
        model=run.model,
        model_revision=run.model_revision,
    )


@dataclass(frozen=True)
class Serving:
    """A running server."""

    address: str
    world: World
    stop: Callable[[], Awaitable[None]]

    def flags(self, folder: Path) -> list[str]:
        """Return what a command needs to find it."""
        (folder / "token").write_text(TOKEN)
        return ["--server", self.address, "--token-file", str(folder / "token")]

    def announce(self, state: Path) -> None:
        """Write what `ftf up` writes."""
        state.mkdir(parents=True, exist_ok=True)
        facts = {"address": self.address, "pid": os.getpid(), "start_time": process_start(os.getpid()), "version": "0"}
        (state / "server.json").write_text(json.dumps(facts))
        (state / "token").write_text(TOKEN + "\n")


class _Auth(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if dict(details.invocation_metadata).get("authorization") == f"Bearer {TOKEN}":
            return await continuation(details)

        async def refuse(request: Any, context: Any) -> Any:
            await abort(context, "UNAUTHENTICATED", "The token is not a good one. Set FTF_TOKEN.", "UNAUTHENTICATED")

        return grpc.unary_unary_rpc_method_handler(refuse)


@contextlib.asynccontextmanager
async def served(world: World, port: int = 0) -> AsyncIterator[Serving]:
    """Serve a world on loopback; port 0 takes a free one."""
    server = grpc.aio.server(interceptors=[_Auth()], options=[("grpc.so_reuseport", 0)])
    number = server.add_insecure_port(f"127.0.0.1:{port}")
    server_service_pb2_grpc.add_ServerServiceServicer_to_server(Server(world), server)
    ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(Ingest(world), server)
    dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server(Dataset(world), server)
    hardware_service_pb2_grpc.add_HardwareServiceServicer_to_server(Hardware(world), server)
    training_service_pb2_grpc.add_TrainingServiceServicer_to_server(Training(world), server)
    export_service_pb2_grpc.add_ExportServiceServicer_to_server(Export(world), server)
    await server.start()
    try:
        yield Serving(f"127.0.0.1:{number}", world, lambda: server.stop(None))
    finally:
        await server.stop(None)
