"""The export service's door. Translates, and decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from google.protobuf.json_format import ParseDict

from finetuneflow.export.v1 import export_pb2, export_service_pb2_grpc
from finetuneflow.export.v1 import export_service_pb2 as pb
from services.common import ids
from services.common.auth import current_principal
from services.common.documents.port import Document
from services.common.errors import NotFound
from services.common.interceptors import Context
from services.common.jobwork.orphans import Orphan
from services.common.objects.port import Objects
from services.common.objects.served import sent
from services.common.protoform import artifact_to_proto, meta_to_proto, work_to_proto
from services.common.work import watch
from services.export.attestation import Attester
from services.export.forms import quantization_of
from services.export.service import EXPORT, Exports


class ExportApi(export_service_pb2_grpc.ExportServiceServicer):
    """ExportService."""

    def __init__(
        self, exports: Exports, objects: Objects, attester: Attester, orphans: Callable[[], Awaitable[list[Orphan]]]
    ) -> None:
        self._exports = exports
        self._objects = objects
        self._attester = attester
        self._orphans = orphans

    async def CreateExport(self, request: pb.CreateExportRequest, context: Context) -> export_pb2.Export:
        """Queue an export."""
        creator = current_principal().name
        doc = await self._exports.create(request.parent, request.export, request.export_id, request.request_id, creator)
        return to_proto(doc)

    async def GetExport(self, request: pb.GetExportRequest, context: Context) -> export_pb2.Export:
        """Return an export."""
        ids.parse_name(request.name, EXPORT)
        doc = await self._exports.exports.get(request.name)
        found = to_proto(doc)
        found.origin.documents.extend(_documents(doc))
        return found

    async def ListExports(self, request: pb.ListExportsRequest, context: Context) -> pb.ListExportsResponse:
        """Return a page of a project's exports."""
        ids.parse_name(request.parent, "projects/*", "parent")
        where = {"parent": request.parent}
        docs, token = await self._exports.exports.page(where, request.page_size, request.page_token)
        return pb.ListExportsResponse(exports=[to_proto(d) for d in docs], next_page_token=token)

    async def DeleteExport(self, request: pb.DeleteExportRequest, context: Context) -> pb.DeleteExportResponse:
        """Delete an export."""
        ids.parse_name(request.name, EXPORT)
        await self._exports.delete(request.name, request.etag)
        return pb.DeleteExportResponse()

    async def CancelExport(self, request: pb.CancelExportRequest, context: Context) -> export_pb2.Export:
        """Stop an export."""
        ids.parse_name(request.name, EXPORT)
        return to_proto(await self._exports.cancel(request.name))

    async def WatchExport(
        self, request: pb.WatchExportRequest, context: Context
    ) -> AsyncIterator[pb.WatchExportResponse]:
        """Send the export at every change until it has ended."""
        ids.parse_name(request.name, EXPORT)
        async for doc in watch(self._exports.exports, request.name):
            yield pb.WatchExportResponse(export=to_proto(doc))

    async def ListOrphans(self, request: pb.ListOrphansRequest, context: Context) -> pb.ListOrphansResponse:
        """Return Jobs without an export, and exports without a Job."""
        found = await self._orphans()
        return pb.ListOrphansResponse(orphans=[pb.Orphan(job=o.job, export=o.work, problem=o.problem) for o in found])

    async def GetAttestation(self, request: pb.GetAttestationRequest, context: Context) -> pb.GetAttestationResponse:
        """Return the signed statement about an export."""
        ids.parse_name(request.name, EXPORT)
        doc = await self._exports.finished(request.name)
        return pb.GetAttestationResponse(envelope=self._attester.attest(doc), key=self._key())

    async def GetSigningKey(self, request: pb.GetSigningKeyRequest, context: Context) -> pb.GetSigningKeyResponse:
        """Return this installation's public key."""
        return self._key()

    def _key(self) -> pb.GetSigningKeyResponse:
        return pb.GetSigningKeyResponse(key_id=self._attester.key_id, pem=self._attester.public_pem)

    async def DownloadExportArtifact(
        self, request: pb.DownloadExportArtifactRequest, context: Context
    ) -> AsyncIterator[pb.DownloadExportArtifactResponse]:
        """Send a file's bytes from an offset on."""
        ids.parse_name(request.name, EXPORT)
        doc = await self._exports.exports.get(request.name)
        artifact = next((a for a in doc["artifacts"] if a["filename"] == request.filename), None)
        if artifact is None:
            names = ", ".join(a["filename"] for a in doc["artifacts"]) or "none yet"
            raise NotFound(f'{request.name} has no file "{request.filename[:200]}". It has: {names}.')
        what = f"{request.filename} of {request.name}"
        async for data in sent(self._objects, what, artifact, request.offset, request.sha256):
            yield pb.DownloadExportArtifactResponse(data=data)


def to_proto(doc: Document) -> export_pb2.Export:
    """Return an export's document as a message."""
    return export_pb2.Export(
        name=doc["_id"],
        display_name=doc["display_name"],
        meta=meta_to_proto(doc),
        work=work_to_proto(doc["work"]),
        run=doc["run"],
        accept_forgetting=doc.get("accept_forgetting", False),
        format=export_pb2.Format.Value(doc["format"]),
        quantization=quantization_of(doc),
        max_shard_bytes=doc.get("max_shard_bytes", 0),
        artifacts=[artifact_to_proto(a) for a in doc["artifacts"]],
        result=ParseDict(doc["result"], export_pb2.ExportResult()) if doc["result"] else None,
        origin=_origin(doc["run_record"]),
    )


def _origin(run: Document) -> export_pb2.Origin:
    """Return where weights come from, by the record of their run."""
    return export_pb2.Origin(
        dataset=run["dataset"],
        dataset_version=run["dataset_version"],
        dataset_sha256=run["dataset_sha256"],
        earlier_dataset_sha256s=run.get("earlier_dataset_sha256s", ()),
        resume_from_checkpoint=run.get("resume_from_checkpoint", ""),
        model=run["model"],
        model_revision=run["model_revision"],
    )


def _documents(doc: Document) -> list[export_pb2.SourceDocument]:
    """Return the documents that an export's dataset was made of."""
    hashes, titles = doc.get("document_hashes", {}), doc.get("document_titles", {})
    return [
        export_pb2.SourceDocument(name=name, sha256=hashes.get(name, ""), display_name=titles.get(name, ""))
        for name in doc["documents"]
    ]
