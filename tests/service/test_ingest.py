"""The ingest service over real gRPC: projects, uploads, reading, cutting, chunks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio
from tokenizers import Tokenizer

from finetuneflow.common.v1 import meta_pb2, work_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2, hardware_service_pb2_grpc, model_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from finetuneflow.ingest.v1 import ingest_service_pb2_grpc, project_pb2
from services.common.objects.folder import FolderObjects
from services.common.stores import open_documents
from services.hardware.compose import compose as hardware
from services.ingest.compose import compose
from tests.fakes.documents import PROSE, docx_file, pdf
from tests.fakes.ingesting import (
    PROJECT,
    balanced,
    chunked,
    chunks_of,
    ended,
    ingest,
    parts,
    queue_chunks,
    read,
    uploaded,
)
from tests.fakes.model_folder import model_files, write_folder
from tests.fakes.running import Served, refusal, serving

INVALID, MISSING, TAKEN, NOT_READY, LOST = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
)
SUCCEEDED = work_pb2.WORK_STATE_SUCCEEDED
GUIDE = f"# Guide\n\n{PROSE * 3}\n\n## Care\n\n{PROSE * 4}"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Any, Served]]:
    """The service's stub and server, with a project."""
    async with ingest(tmp_path) as found:
        yield found


@pytest_asyncio.fixture
async def stub(server: tuple[Any, Served]) -> Any:
    """The service's stub."""
    return server[0]


async def test_documents_of_each_kind_become_chunks_with_places(server: tuple[Any, Served]) -> None:
    """PDF, DOCX, Markdown and text: read, cut, listed in order, each chunk the text under its spans."""
    stub, served = server
    documents = {
        "guide.pdf": pdf(GUIDE, GUIDE, header="Tarnfield"),
        "guide.docx": docx_file(*GUIDE.split("\n\n")),
        "guide.md": GUIDE.encode(),
        "guide.txt": GUIDE.encode(),
    }
    for name, data in documents.items():
        await uploaded(stub, data, name)

    files = await chunked(stub, max_tokens=64, overlap_tokens=8)

    assert {file.display_name for file in files} == set(documents)
    objects = FolderObjects(Path(served.config.objects.removeprefix("file://")))
    for file in files:
        assert (file.work.state, file.chunking.tokenizer) == (SUCCEEDED, "cl100k_base")
        assert balanced(file.text.count)
        assert balanced(file.chunking.count)
        stored = await objects.read(file.text.artifact.key)
        assert hashlib.sha256(stored).hexdigest() == file.text.artifact.sha256
        text = json.loads(stored)["text"]
        assert len(text) == file.text.characters
        chunks = await chunks_of(stub, file.name, page_size=3)
        assert [chunk.index for chunk in chunks] == list(range(file.chunking.chunks))
        assert sum(chunk.tokens for chunk in chunks) == file.chunking.tokens
        for chunk in chunks:
            assert chunk.text == "".join(text[span.start : span.end] for span in chunk.spans)
            assert 0 < chunk.tokens <= 64
            assert chunk.text_sha256 == file.text.artifact.sha256
            assert all(bool(place.page) == file.display_name.endswith(".pdf") for place in chunk.places)
        assert await stub.GetChunk(pb.GetChunkRequest(name=chunks[0].name)) == chunks[0]


async def test_the_same_bytes_twice_are_one_file(server: tuple[Any, Served]) -> None:
    """The second upload returns the first file and keeps nothing of its own; another name is another file."""
    stub, served = server
    first = await uploaded(stub, b"Hello there.", "a.txt")
    again = await uploaded(stub, b"Hello there.", "a.txt")
    other = await uploaded(stub, b"Hello there.", "b.txt")

    listed = await stub.ListFiles(pb.ListFilesRequest(parent=PROJECT))

    assert (again.name, again.meta.uid) == (first.name, first.meta.uid)
    assert [file.name for file in listed.files] == [first.name, other.name]
    objects = FolderObjects(Path(served.config.objects.removeprefix("file://")))
    contents = [key async for key in objects.list("projects/p/") if key.endswith("/content")]
    assert sorted(contents) == sorted([first.content.key, other.content.key])


async def test_a_deleted_file_can_be_uploaded_again(stub: Any) -> None:
    """It is gone for every reader at once; the same bytes then make a new resource under the same name."""
    file = await read(stub, GUIDE.encode(), "guide.md")
    await chunked(stub, file.name)
    chunk = (await chunks_of(stub, file.name))[0].name

    await stub.DeleteFile(pb.DeleteFileRequest(name=file.name))
    gone = [
        await refusal(stub.GetFile(pb.GetFileRequest(name=file.name))),
        await refusal(stub.GetChunk(pb.GetChunkRequest(name=chunk))),
        await refusal(stub.ListChunks(pb.ListChunksRequest(parent=file.name))),
    ]
    again = await read(stub, GUIDE.encode(), "guide.md")

    assert gone == [(MISSING, "NOT_FOUND")] * 3
    assert again.name == file.name
    assert again.meta.uid != file.meta.uid
    assert not again.HasField("chunking")
    assert (await chunked(stub, file.name))[0].chunking.chunks == len(await chunks_of(stub, file.name))


async def test_cutting_again_replaces_the_chunks_and_the_same_settings_change_nothing(
    server: tuple[Any, Served],
) -> None:
    """Readers see one cutting, never a mixture; equal settings start no work; nothing stays of the old one."""
    stub, served = server
    file = await read(stub, GUIDE.encode(), "guide.md")
    first = (await chunked(stub, file.name, max_tokens=40))[0]
    before = await chunks_of(stub, file.name, page_size=2)
    same = (await queue_chunks(stub, file.name, max_tokens=40)).files[0]

    second = (await chunked(stub, file.name, max_tokens=200))[0]
    after = await chunks_of(stub, file.name)

    assert same == first
    assert (first.chunking.chunks, second.chunking.chunks) == (len(before), len(after))
    assert len(after) < len(before)
    documents = await open_documents(served.config.documents, "ingest")
    assert await documents.collection("chunks").count({}) == len(after)
    await documents.close()
    assert await refusal(stub.GetChunk(pb.GetChunkRequest(name=before[0].name))) == (MISSING, "NOT_FOUND")


async def test_a_page_of_another_cutting_is_refused(stub: Any) -> None:
    """A page token belongs to one list: after a new cutting the reader begins again."""
    file = await read(stub, GUIDE.encode(), "guide.md")
    await chunked(stub, file.name, max_tokens=40)
    page = await stub.ListChunks(pb.ListChunksRequest(parent=file.name, page_size=1))
    await chunked(stub, file.name, max_tokens=50)

    request = pb.ListChunksRequest(parent=file.name, page_token=page.next_page_token)

    assert await refusal(stub.ListChunks(request)) == (INVALID, "INVALID_FIELD")


async def test_a_file_without_chunks_says_so(stub: Any) -> None:
    """Before the first cutting there is nothing to list."""
    file = await read(stub, b"Hello there.", "a.txt")

    assert await refusal(stub.ListChunks(pb.ListChunksRequest(parent=file.name))) == (NOT_READY, "NOT_CHUNKED")


async def test_a_models_own_tokenizer_counts(tmp_path: Path) -> None:
    """Chunks are measured with the tokenizer that the hardware service keeps for the base model."""
    files = model_files()
    folder = write_folder(tmp_path / "model", files)
    composes = {"ingest": compose, "hardware": hardware}
    async with serving(tmp_path / "state", composes) as served, served.channel() as channel:
        models = hardware_service_pb2_grpc.HardwareServiceStub(channel)
        model = await models.CreateModel(
            hardware_service_pb2.CreateModelRequest(model=model_pb2.Model(local_path=str(folder)))
        )
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        await stub.CreateProject(pb.CreateProjectRequest(project_id="p"))
        await read(stub, b"a b c d " * 40, "a.txt")
        (file,) = await chunked(stub, model=model.name, max_tokens=32)
        chunks = await chunks_of(stub, file.name)
        unknown = await refusal(queue_call(stub, model="models/none"))

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert file.chunking.tokenizer == f"{model.name}@{model.revision}"
    assert [c.tokens for c in chunks] == [len(tokenizer.encode(c.text, add_special_tokens=False).ids) for c in chunks]
    assert unknown == (MISSING, "NOT_FOUND")


def queue_call(stub: Any, *files: str, **settings: Any) -> Any:
    """Return the call, not yet awaited."""
    from finetuneflow.ingest.v1 import file_pb2

    settings_message = file_pb2.ChunkSettings(**settings)
    return stub.ChunkFiles(pb.ChunkFilesRequest(parent=PROJECT, files=files, settings=settings_message))


async def test_settings_and_files_to_cut_are_checked(stub: Any) -> None:
    """Ranges, names and projects: each refusal before anything is queued."""
    for settings in ({"max_tokens": 31}, {"max_tokens": 9000}, {"max_tokens": 64, "overlap_tokens": 33}):
        assert await refusal(queue_call(stub, **settings)) == (INVALID, "INVALID_FIELD")
    assert await refusal(queue_call(stub, f"{PROJECT}/files/none")) == (MISSING, "NOT_FOUND")
    assert await refusal(queue_call(stub, "projects/q/files/f")) == (INVALID, "INVALID_FIELD")
    assert await refusal(queue_call(stub, model="no model")) == (INVALID, "INVALID_FIELD")
    assert await refusal(stub.ChunkFiles(pb.ChunkFilesRequest(parent="projects/none"))) == (MISSING, "NOT_FOUND")


async def test_a_project_is_made_once_for_each_request(stub: Any) -> None:
    """The id comes from the request, else from the display name; a repeat returns the first answer."""

    def make(display_name: str, request_id: str = "", project_id: str = "") -> Any:
        project = project_pb2.Project(display_name=display_name)
        return stub.CreateProject(
            pb.CreateProjectRequest(project=project, project_id=project_id, request_id=request_id)
        )

    first = await make("Pump manuals", "r1")
    repeated = await make("Pump manuals", "r1")
    second = await make("Pump manuals", "r2")
    second_repeated = await make("Pump manuals", "r2")
    nameless = await make("", "r3")

    assert first.name == repeated.name == "projects/pump-manuals"
    assert second.name == second_repeated.name != first.name
    assert nameless.name.startswith("projects/project-")
    assert nameless.meta.creator == "tester"
    assert await refusal(make("Other", "r1", "pump-manuals")) == (INVALID, "REQUEST_ID_REUSED")
    assert await refusal(make("Other", "r4", "pump-manuals")) == (TAKEN, "ALREADY_EXISTS")
    assert await refusal(make("", "", "Not An Id")) == (INVALID, "INVALID_FIELD")
    assert await refusal(make("", "r" * 129)) == (INVALID, "INVALID_FIELD")
    listed = await stub.ListProjects(pb.ListProjectsRequest(page_size=2))
    rest = await stub.ListProjects(pb.ListProjectsRequest(page_size=9, page_token=listed.next_page_token))
    assert [p.name for p in [*listed.projects, *rest.projects]] == [PROJECT, first.name, second.name, nameless.name]


async def test_a_projects_fields_change_by_mask_and_etag(stub: Any) -> None:
    """A mask says what changes; an old etag is a lost race; an unknown field is refused."""
    project = await stub.GetProject(pb.GetProjectRequest(name=PROJECT))
    wanted = project_pb2.Project(
        name=PROJECT, display_name="New", description="About pumps", meta=meta_pb2.Meta(labels={"team": "pumps"})
    )

    changed = await stub.UpdateProject(pb.UpdateProjectRequest(project=wanted))
    cleared = await stub.UpdateProject(
        pb.UpdateProjectRequest(project=project_pb2.Project(name=PROJECT), update_mask={"paths": ["description"]})
    )
    stale = project_pb2.Project(name=PROJECT, display_name="Late", meta=meta_pb2.Meta(etag=project.meta.etag))

    assert (changed.display_name, changed.description, changed.meta.labels["team"]) == ("New", "About pumps", "pumps")
    assert changed.meta.etag != project.meta.etag
    assert (cleared.display_name, cleared.description) == ("New", "")
    assert await refusal(stub.UpdateProject(pb.UpdateProjectRequest(project=stale))) == (LOST, "ETAG_MISMATCH")
    bad_mask = pb.UpdateProjectRequest(project=wanted, update_mask={"paths": ["name"]})
    assert await refusal(stub.UpdateProject(bad_mask)) == (INVALID, "INVALID_FIELD")
    too_long = project_pb2.Project(name=PROJECT, description="x" * 4097)
    assert await refusal(stub.UpdateProject(pb.UpdateProjectRequest(project=too_long))) == (INVALID, "INVALID_FIELD")


async def test_names_that_do_not_exist_are_not_found(stub: Any) -> None:
    """Every reader says so, and a name of the wrong form is refused."""
    none, file = "projects/none", "projects/none/files/f"
    missing = [
        stub.GetProject(pb.GetProjectRequest(name=none)),
        stub.DeleteProject(pb.DeleteProjectRequest(name=none)),
        stub.ListFiles(pb.ListFilesRequest(parent=none)),
        stub.GetFile(pb.GetFileRequest(name=file)),
        stub.DeleteFile(pb.DeleteFileRequest(name=file)),
        stub.CancelFile(pb.CancelFileRequest(name=file)),
        stub.WatchFile(pb.WatchFileRequest(name=file)),
        stub.ListChunks(pb.ListChunksRequest(parent=file)),
        stub.GetChunk(pb.GetChunkRequest(name=f"{file}/chunks/c")),
        stub.UploadFile(parts(b"x", "a.txt", parent=none)),
    ]
    for call in missing:
        assert await refusal(call) == (MISSING, "NOT_FOUND")
    assert await refusal(stub.GetFile(pb.GetFileRequest(name="files/f"))) == (INVALID, "INVALID_FIELD")
    assert await refusal(stub.ListFiles(pb.ListFilesRequest(parent=PROJECT, page_size=-1))) == (
        INVALID,
        "INVALID_FIELD",
    )
    assert await refusal(stub.ListFiles(pb.ListFilesRequest(parent=PROJECT, page_token="x"))) == (
        INVALID,
        "INVALID_FIELD",
    )


async def test_a_watch_of_ended_work_sends_the_file_and_ends(stub: Any) -> None:
    """Who comes late sees the end."""
    file = await read(stub, b"Hello there.", "a.txt")

    assert (await ended(stub, file.name)).work.state == SUCCEEDED
