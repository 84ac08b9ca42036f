"""The client against a real gRPC server that breaks off, goes away and comes back."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from finetuneflow.common.v1 import artifact_pb2, server_service_pb2, work_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2
from finetuneflow.export.v1 import export_pb2, export_service_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2, project_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client import FtfError, watch
from finetuneflow_client.client import Services
from finetuneflow_client.downloads import download_export_artifact, place
from finetuneflow_client.errors import WorkFailed, from_work
from finetuneflow_client.uploads import PART_BYTES, upload_file
from tests.fakes.client_server import TOKEN, served
from tests.fakes.client_world import World

RUN = "projects/p/runs/r1"


def connect(address: str, patience: float = 2) -> AbstractAsyncContextManager[Services]:
    """Connect with the token that the server knows."""
    return Services.connect(address, TOKEN, patience=patience)


async def running(flow: Services) -> None:
    """Start the run that tests watch."""
    await flow.training.CreateRun(training_service_pb2.CreateRunRequest(parent="projects/p", run=run_pb2.Run()))


def seqs(updates: list[training_service_pb2.WatchRunResponse]) -> list[int]:
    """Return the numbers of the reports among what a watch has sent."""
    return [update.report.seq for update in updates if update.HasField("report")]


async def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    """It says how to start one."""
    with pytest.raises(FtfError, match="ftf up") as caught:
        async with Services.connect("127.0.0.1:1", TOKEN, wait=0.3):
            pass

    assert caught.value.away


async def test_lists_yield_every_item_of_every_page() -> None:
    """The server's pages hold two."""
    async with served(World()) as server, connect(server.address) as flow:
        for number in range(5):
            await flow.ingest.CreateProject(ingest_service_pb2.CreateProjectRequest(project_id=f"p{number}"))
        found = [project.name async for project in flow.projects()]

    assert found == [f"projects/p{number}" for number in range(5)]


async def test_errors_carry_code_reason_message_and_remedy() -> None:
    """The server's first sentence says what is wrong, the rest what to do."""
    async with served(World()) as server, connect(server.address) as flow:
        with pytest.raises(FtfError) as caught:
            await flow.training.GetRun(training_service_pb2.GetRunRequest(name=RUN))

    error = caught.value
    assert (error.code, error.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert (error.message, error.remedy) == (f"{RUN} does not exist", "list its kind to see what does")
    assert str(error) == f"{RUN} does not exist — list its kind to see what does"


async def test_a_wrong_token_is_refused_in_words() -> None:
    """Not with a bare status code."""
    async with served(World()) as server, Services.connect(server.address, "wrong") as flow:
        with pytest.raises(FtfError, match="FTF_TOKEN") as caught:
            await flow.ingest.ListProjects(ingest_service_pb2.ListProjectsRequest())

    assert caught.value.code == "UNAUTHENTICATED"


async def test_a_create_whose_answer_is_lost_is_repeated_and_done_once() -> None:
    """Every create carries a request_id, so the repeat returns the first's answer."""
    world = World(faults={"answer lost": 1})
    async with served(world) as server, connect(server.address) as flow:
        made = await flow.ingest.CreateProject(ingest_service_pb2.CreateProjectRequest(project_id="p"))

    assert made.name == "projects/p"
    assert world.calls == ["CreateProject", "CreateProject"]


async def test_patience_ends() -> None:
    """A server that stays away is an error, not a hang."""
    async with served(World(faults={"away": 100})) as server, connect(server.address, patience=0.5) as flow:
        with pytest.raises(FtfError) as caught:
            await flow.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())

    assert caught.value.away


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES * 3 + 7])
async def test_an_upload_arrives_whole_and_says_how_far_it_is(tmp_path: Path, size: int) -> None:
    """The fake checks hash, length and the size of every part."""
    world = World(projects={"projects/p": project_pb2.Project(name="projects/p")})
    path = tmp_path / "a.txt"
    path.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    told: list[tuple[int, int]] = []
    async with served(world) as server, connect(server.address) as flow:
        file = await upload_file(flow, "projects/p", path, lambda done, of: told.append((done, of)))

    assert world.uploads[file.name] == path.read_bytes()
    assert told[-1:] == ([(size, size)] if size else [])


async def test_an_upload_that_breaks_off_is_begun_again(tmp_path: Path) -> None:
    """The same bytes under the same name are the same file, so a repeat is harmless."""
    world = World(projects={"projects/p": project_pb2.Project(name="projects/p")}, faults={"upload breaks": 2})
    (tmp_path / "a.txt").write_text("text")
    async with served(world) as server, connect(server.address) as flow:
        file = await upload_file(flow, "projects/p", tmp_path / "a.txt")

    assert world.uploads[file.name] == b"text"


@pytest.mark.parametrize("name", ["missing.txt", ".", "nul\0.txt"])
async def test_a_document_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """Missing, a folder, no path at all: each is a plain error."""
    async with served(World()) as server, connect(server.address) as flow:
        with pytest.raises(FtfError) as caught:
            await upload_file(flow, "projects/p", tmp_path / name)

    assert caught.value.code == "INVALID_ARGUMENT"


async def exported(flow: Services) -> artifact_pb2.Artifact:
    """Make an export and return its large file."""
    request = export_service_pb2.CreateExportRequest(parent="projects/p", export=export_pb2.Export(run=RUN))
    return (await flow.export.CreateExport(request)).artifacts[0]


async def test_a_download_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    """Within one call after a broken stream, and in a later call after a killed client."""
    world = World()
    async with served(world) as server, connect(server.address) as flow:
        artifact = await exported(flow)
        world.faults["download breaks"] = 1
        path = await download_export_artifact(flow, "projects/p/exports/x1", artifact, tmp_path)
        half = path.read_bytes()[:1_000_000]
        path.unlink()
        (tmp_path / f".model.safetensors.{artifact.sha256[:16]}.part").write_bytes(half)
        await download_export_artifact(flow, "projects/p/exports/x1", artifact, tmp_path)

    offsets = [call.rsplit(" ", 1)[-1] for call in world.calls if call.startswith("Download")]
    assert offsets == ["0", str(1 << 20), "1000000"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == artifact.sha256
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


async def test_damaged_bytes_never_get_the_final_name(tmp_path: Path) -> None:
    """And are not gone on from the next time."""
    world = World(faults={"damage": 1})
    async with served(world) as server, connect(server.address) as flow:
        artifact = await exported(flow)
        with pytest.raises(FtfError, match="damaged") as caught:
            await download_export_artifact(flow, "projects/p/exports/x1", artifact, tmp_path)
        left = list(tmp_path.iterdir())
        path = await download_export_artifact(flow, "projects/p/exports/x1", artifact, tmp_path)

    assert caught.value.code == "DATA_LOSS"
    assert left == []
    assert hashlib.sha256(path.read_bytes()).hexdigest() == artifact.sha256


async def test_a_whole_file_is_not_fetched_again(tmp_path: Path) -> None:
    """Its hash says that it is whole."""
    world = World()
    async with served(world) as server, connect(server.address) as flow:
        artifact = await exported(flow)
        for _ in range(2):
            await download_export_artifact(flow, "projects/p/exports/x1", artifact, tmp_path)

    assert len([call for call in world.calls if call.startswith("Download")]) == 1


@pytest.mark.parametrize("filename", ["../x", "/etc/x", "a/../../x", "", "a\0", "..\\x"])
def test_a_server_cannot_write_outside_the_folder(tmp_path: Path, filename: str) -> None:
    """File names come over the network."""
    with pytest.raises(FtfError) as caught:
        place(tmp_path, filename)

    assert caught.value.code == "DATA_LOSS"


async def test_a_watched_run_has_no_gap_and_no_double_when_the_stream_is_cut() -> None:
    """The watch goes on after the last seq that it saw; reports that come again are dropped."""
    world = World(steps=8, faults={"stream cut": 1})
    away: list[FtfError] = []
    async with served(world) as server, connect(server.address) as flow:
        await running(flow)
        updates = [update async for update in watch.watch_run(flow, RUN, away=away.append)]

    assert seqs(updates) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert updates[-1].run.work.state == work_pb2.WORK_STATE_SUCCEEDED
    assert [call for call in world.calls if call.startswith("Watch")] == ["WatchRun after 0", "WatchRun after 3"]
    assert len(away) == 1


async def test_a_watched_run_goes_on_when_the_server_is_restarted() -> None:
    """On the same port, with what its documents hold, while the watch waits."""
    world = World(steps=8, faults={"stream hangs": 1})
    updates: list[training_service_pb2.WatchRunResponse] = []
    third, lost = asyncio.Event(), asyncio.Event()
    async with served(world) as server, connect(server.address) as flow:
        await running(flow)

        async def follow() -> None:
            async for update in watch.watch_run(flow, RUN, away=lambda error: lost.set()):
                updates.append(update)
                if len(seqs(updates)) == 3:
                    third.set()

        task = asyncio.create_task(follow())
        await third.wait()
        await server.stop()
        await lost.wait()
        async with served(world, int(server.address.rpartition(":")[2])):
            await asyncio.wait_for(task, 20)

    assert seqs(updates) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_a_watch_from_a_cursor_leaves_out_what_was_seen() -> None:
    """A client that was killed goes on from what it wrote down."""
    world = World(steps=8)
    async with served(world) as server, connect(server.address) as flow:
        await running(flow)
        updates = [update async for update in watch.watch_run(flow, RUN, after_seq=5)]

    assert seqs(updates) == [6, 7, 8]


async def test_a_watch_of_what_does_not_exist_ends_at_once() -> None:
    """Only a server that is away is waited for."""
    async with served(World()) as server, connect(server.address) as flow:
        with pytest.raises(FtfError) as caught:
            [update async for update in watch.watch_run(flow, RUN)]

    assert caught.value.code == "NOT_FOUND"


async def test_a_watched_dataset_is_yielded_at_every_change_and_once() -> None:
    """After a cut the server sends the present state again; what was yielded is not yielded twice."""
    world = World(faults={"stream cut": 1})
    async with served(world) as server, connect(server.address) as flow:
        await flow.dataset.CreateDataset(dataset_service_pb2.CreateDatasetRequest(parent="projects/p"))
        states = [d.work.progress.done async for d in watch.watch_dataset(flow, "projects/p/datasets/d1")]

    assert states[:4] == [0, 1, 2, 3]
    assert len(states) == 5


async def test_failed_work_is_an_error_with_the_reason() -> None:
    """The status that the resource carries becomes the exception."""
    world = World(faults={"trainer crashes": 1})
    async with served(world) as server, connect(server.address) as flow:
        await running(flow)
        updates = [update async for update in watch.watch_run(flow, RUN)]
    error = from_work(updates[-1].run.work, "run r1")

    assert isinstance(error, WorkFailed)
    assert (error.reason, str(error)) == ("TRAINER_CRASHED", "run r1: The trainer stopped — see `ftf logs`")
