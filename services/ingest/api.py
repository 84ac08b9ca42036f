"""The ingest service's door. Translates, and decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from finetuneflow.common.v1 import upload_pb2
from finetuneflow.ingest.v1 import chunk_pb2, file_pb2, ingest_service_pb2_grpc, project_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.common import ids
from services.common.auth import current_principal
from services.common.errors import InvalidArgument, NotReady
from services.common.interceptors import Context
from services.common.protoform import user_fields
from services.ingest.archives import Archives
from services.ingest.files import Files
from services.ingest.form import (
    chunk_rules_of,
    chunk_to_proto,
    file_to_proto,
    preview_to_proto,
    project_change,
    project_to_proto,
    unpacked_to_proto,
)
from services.ingest.previewing import Previews
from services.ingest.projects import NewProject, Projects
from services.ingest.store import CHUNK, ChunkStore
from services.ingest.uploads import Header, Uploads

MAX_PART = 1_048_576


class IngestApi(ingest_service_pb2_grpc.IngestServiceServicer):
    """IngestService."""

    def __init__(
        self,
        projects: Projects,
        uploads: Uploads,
        archives: Archives,
        files: Files,
        chunks: ChunkStore,
        previews: Previews,
    ) -> None:
        self._projects = projects
        self._uploads = uploads
        self._archives = archives
        self._files = files
        self._chunks = chunks
        self._previews = previews

    async def CreateProject(self, request: pb.CreateProjectRequest, context: Context) -> project_pb2.Project:
        """Make a project."""
        project = request.project
        asked = pb.CreateProjectRequest(project=project, project_id=request.project_id)
        doc = await self._projects.create(
            NewProject(
                project_id=request.project_id,
                fields=user_fields(project.display_name, project.meta, "project"),
                description=project.description,
                request_id=request.request_id,
                body=asked.SerializeToString(deterministic=True),
                creator=current_principal().name,
            )
        )
        return project_to_proto(doc)

    async def GetProject(self, request: pb.GetProjectRequest, context: Context) -> project_pb2.Project:
        """Return a project."""
        return project_to_proto(await self._projects.get(request.name))

    async def ListProjects(self, request: pb.ListProjectsRequest, context: Context) -> pb.ListProjectsResponse:
        """Return a page of projects."""
        docs, token = await self._projects.page(request.page_size, request.page_token)
        return pb.ListProjectsResponse(projects=[project_to_proto(doc) for doc in docs], next_page_token=token)

    async def UpdateProject(self, request: pb.UpdateProjectRequest, context: Context) -> project_pb2.Project:
        """Change a project."""
        change = project_change(request.project, list(request.update_mask.paths))
        return project_to_proto(await self._projects.update(request.project.name, change, request.project.meta.etag))

    async def DeleteProject(self, request: pb.DeleteProjectRequest, context: Context) -> pb.DeleteProjectResponse:
        """Delete a project with all that is in it."""
        await self._projects.delete(request.name, request.etag)
        return pb.DeleteProjectResponse()

    async def UploadFile(self, request: AsyncIterator[pb.UploadFileRequest], context: Context) -> file_pb2.File:
        """Store a document."""
        parts: _Parts = aiter(request)
        header = await _header(parts)
        return file_to_proto(await self._uploads.upload(header, _bytes(parts), current_principal().name))

    async def UploadArchive(
        self, request: AsyncIterator[pb.UploadArchiveRequest], context: Context
    ) -> pb.UploadArchiveResponse:
        """Make files of an archive's documents."""
        parts: _Parts = aiter(request)
        header = await _header(parts)
        return unpacked_to_proto(await self._archives.upload(header, _bytes(parts), current_principal().name))

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> upload_pb2.Upload:
        """Return what there is of an upload."""
        received = await self._uploads.received(_header_of(request.header))
        return upload_pb2.Upload(received_bytes=received)

    async def GetFile(self, request: pb.GetFileRequest, context: Context) -> file_pb2.File:
        """Return a file."""
        return file_to_proto(await self._files.get(request.name))

    async def ListFiles(self, request: pb.ListFilesRequest, context: Context) -> pb.ListFilesResponse:
        """Return a page of files."""
        docs, token = await self._files.page(request.parent, request.page_size, request.page_token)
        return pb.ListFilesResponse(files=[file_to_proto(doc) for doc in docs], next_page_token=token)

    async def DeleteFile(self, request: pb.DeleteFileRequest, context: Context) -> pb.DeleteFileResponse:
        """Delete a file."""
        await self._files.delete(request.name, request.etag)
        return pb.DeleteFileResponse()

    async def WatchFile(self, request: pb.WatchFileRequest, context: Context) -> AsyncIterator[pb.WatchFileResponse]:
        """Follow a file."""
        async for doc in self._files.watch(request.name):
            yield pb.WatchFileResponse(file=file_to_proto(doc))

    async def CancelFile(self, request: pb.CancelFileRequest, context: Context) -> file_pb2.File:
        """Stop the work on a file."""
        return file_to_proto(await self._files.cancel(request.name))

    async def ChunkFiles(self, request: pb.ChunkFilesRequest, context: Context) -> pb.ChunkFilesResponse:
        """Queue the cutting of files."""
        rules = chunk_rules_of(request.settings)
        queued = await self._files.cut(request.parent, list(request.files), rules)
        return pb.ChunkFilesResponse(
            files=[file_to_proto(doc) for doc in queued.files],
            failed_files=[file_to_proto(doc) for doc in queued.failed],
        )

    async def PreviewChunks(self, request: pb.PreviewChunksRequest, context: Context) -> pb.PreviewChunksResponse:
        """Return how a file would be cut."""
        rules = chunk_rules_of(request.settings)
        return preview_to_proto(await self._previews.preview(request.file, rules, request.max_chunks))

    async def GetChunk(self, request: pb.GetChunkRequest, context: Context) -> chunk_pb2.Chunk:
        """Return a chunk."""
        project, file, _ = ids.parse_name(request.name, CHUNK)
        parent = await self._files.get(f"projects/{project}/files/{file}")
        return chunk_to_proto(await self._chunks.get(request.name, parent))

    async def ListChunks(self, request: pb.ListChunksRequest, context: Context) -> pb.ListChunksResponse:
        """Return a page of chunks."""
        file = await self._files.get(request.parent)
        if not file["chunking"]:
            raise NotReady(f"{file['_id']} has not been chunked. Run `ftf chunk`.", reason="NOT_CHUNKED")
        docs, token = await self._chunks.page(file, request.page_size, request.page_token)
        return pb.ListChunksResponse(chunks=[chunk_to_proto(doc) for doc in docs], next_page_token=token)


_Parts = AsyncIterator[pb.UploadFileRequest | pb.UploadArchiveRequest]


async def _header(parts: _Parts) -> Header:
    """Take in the first message of an upload."""
    first = await anext(parts, None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidArgument("An upload begins with a header. Send it before the bytes.", field="header")
    return _header_of(first.header)


def _header_of(head: pb.UploadHeader) -> Header:
    return Header(head.parent, head.filename, head.sha256, head.size_bytes, head.path, head.offset)


async def _bytes(parts: _Parts) -> AsyncIterator[bytes]:
    async for part in parts:
        if part.WhichOneof("part") != "data":
            raise InvalidArgument("An upload has one header. Send bytes after it.", field="header")
        if len(part.data) > MAX_PART:
            raise InvalidArgument(
                f"A part of the upload has more than {MAX_PART:,} bytes. Send less at once.", field="data"
            )
        yield part.data
