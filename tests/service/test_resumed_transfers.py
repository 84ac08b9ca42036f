"""Uploads and downloads over a link that breaks: what has come once does not go twice, and no byte is wrong."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import artifact_pb2, upload_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2, transfer_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow_client.client import Services
from finetuneflow_client.downloads import download_dataset
from finetuneflow_client.errors import FtfError
from finetuneflow_client.exports import export_dataset
from finetuneflow_client.imports import import_dataset
from finetuneflow_client.models import Source, import_model
from finetuneflow_client.uploads import PART_BYTES, measure, upload_archive, upload_file
from services.common.objects.folder import FolderObjects
from services.hardware.store import upload_key
from tests.fakes.cutting import Link, link
from tests.fakes.datasets import PROJECT, dataset_service, ended
from tests.fakes.hardware import hardware
from tests.fakes.ingesting import ingest
from tests.fakes.model_folder import model_files, write_folder
from tests.fakes.running import TOKEN
from tests.fakes.transfers import format_of, lines

SIZE = 6 * PART_BYTES
ROWS = [{"prompt": f"Question {n}?", "completion": random.Random(n).randbytes(400).hex()} for n in range(2_000)]


class Told:
    """What a progress callback was told."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def __call__(self, done: int, total: int) -> None:
        self.done.append(done)


def text(folder: Path, name: str = "a.csv") -> Path:
    """A document of several messages that is read quickly: SIZE bytes in one column."""
    path = folder / name
    path.write_bytes(b"a\n" + random.Random(3).randbytes(SIZE).hex().encode()[: SIZE - 2])
    return path


def upload_header(path: Path) -> ingest_service_pb2.UploadHeader:
    """What a client says of a document."""
    size, sha256 = measure(path)
    return ingest_service_pb2.UploadHeader(parent=PROJECT, filename=path.name, size_bytes=size, sha256=sha256)


def end_on_arrival(broken: Link, asked: Callable[[Any], Awaitable[upload_pb2.Upload]], get: Any, *until: int) -> None:
    """Let each connection end once the server has so many bytes, as it says itself over another link."""

    async def arrived() -> int:
        return (await asked(get)).received_bytes

    broken.arrived, broken.until = arrived, list(until)


async def kept(state: Path) -> list[str]:
    """Keys of what is kept of unfinished uploads."""
    return [key async for key in FolderObjects(state / "objects").list("unfinished/")]


async def test_a_document_goes_on_where_the_link_broke_and_is_never_sent_twice(tmp_path: Path) -> None:
    """Within one call, over two breaks; repeated, nothing is sent; the bytes are the sender's."""
    path, told, again = text(tmp_path), Told(), Told()
    state = tmp_path / "state"
    get = ingest_service_pb2.GetUploadRequest(header=upload_header(path))
    async with (
        ingest(state) as (_, served),
        link(served.address) as broken,
        Services.connect(served.address, TOKEN) as whole,
    ):
        broken.up = [3 * PART_BYTES, 2 * PART_BYTES]
        end_on_arrival(broken, whole.ingest.GetUpload, get, 2 * PART_BYTES, 3 * PART_BYTES)
        async with Services.connect(broken.address, TOKEN) as flow:
            file = await upload_file(flow, PROJECT, path, told)
            before = broken.sent
            same = await upload_file(flow, PROJECT, path, again)
            repeated = broken.sent - before
        left = await kept(state)

    assert file.content.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told.done[-1] == SIZE
    assert told.done.count(PART_BYTES) == 1
    assert (same.name, again.done) == (file.name, [SIZE])
    assert repeated < 10_000
    assert left == []


async def test_another_program_goes_on_after_the_server_came_back(tmp_path: Path) -> None:
    """The first one gave up; the second sends the rest alone, to a server that was started anew."""
    path, told = text(tmp_path), Told()
    state = tmp_path / "state"
    get = ingest_service_pb2.GetUploadRequest(header=upload_header(path))
    async with (
        ingest(state) as (_, served),
        link(served.address) as broken,
        Services.connect(served.address, TOKEN) as whole,
    ):
        broken.up = [2 * PART_BYTES] + [0] * 9
        end_on_arrival(broken, whole.ingest.GetUpload, get, PART_BYTES)
        async with Services.connect(broken.address, TOKEN, patience=0) as flow:
            with pytest.raises(FtfError) as failed:
                await upload_file(flow, PROJECT, path)
    async with ingest(state) as (_, served), Services.connect(served.address, TOKEN) as flow:
        await upload_file(flow, PROJECT, path, told)

    assert failed.value.away
    assert told.done[0] > 0
    assert told.done[-1] == SIZE


async def test_an_archive_goes_on_too(tmp_path: Path) -> None:
    """It is unpacked once all of it is there; one that is no archive is refused, and nothing of it is kept."""
    path, told = text(tmp_path, "a.zip"), Told()
    state = tmp_path / "state"
    get = ingest_service_pb2.GetUploadRequest(header=upload_header(path))
    async with (
        ingest(state) as (_, served),
        link(served.address) as broken,
        Services.connect(served.address, TOKEN) as whole,
    ):
        broken.up = [3 * PART_BYTES]
        end_on_arrival(broken, whole.ingest.GetUpload, get, 2 * PART_BYTES)
        async with Services.connect(broken.address, TOKEN) as flow:
            with pytest.raises(FtfError) as refused:
                await upload_archive(flow, PROJECT, path, told)
        left = await kept(state)

    assert refused.value.reason == "CORRUPT_DOCUMENT"
    assert told.done.count(PART_BYTES) == 1
    assert left == []


async def test_a_client_that_never_asks_sends_all_and_is_served(tmp_path: Path) -> None:
    """As those did from before there was anything to ask; an offset without bytes is refused with what there is."""
    data = text(tmp_path).read_bytes()
    announced = {"parent": PROJECT, "filename": "a.csv", "sha256": hashlib.sha256(data).hexdigest()}

    async def parts(**fields: Any) -> AsyncIterator[ingest_service_pb2.UploadFileRequest]:
        yield ingest_service_pb2.UploadFileRequest(header=ingest_service_pb2.UploadHeader(**announced, **fields))
        for start in range(0, SIZE, PART_BYTES):
            yield ingest_service_pb2.UploadFileRequest(data=data[start : start + PART_BYTES])

    async with ingest(tmp_path / "state") as (_, served), Services.connect(served.address, TOKEN) as flow:
        with pytest.raises(FtfError) as refused:
            await flow.ingest.UploadFile(parts(size_bytes=SIZE, offset=5))
        file = await flow.ingest.UploadFile(parts(size_bytes=SIZE))

    assert (refused.value.reason, refused.value.metadata["received"]) == ("UPLOAD_OFFSET", "0")
    assert file.content.size_bytes == SIZE


async def test_weights_go_on_where_the_link_broke(tmp_path: Path) -> None:
    """Of a model's files each by itself; one that is complete is not sent, whichever model it was of."""
    files = {**model_files(), "notes.txt": random.Random(4).randbytes(SIZE)}
    write_folder(tmp_path / "tiny", files)
    opened = {name: (lambda path=tmp_path / "tiny" / name: path.open("rb")) for name in files}
    told: list[int] = []
    digest = hashlib.sha256(files["notes.txt"]).hexdigest()
    header = hardware_service_pb2.ModelFileHeader(filename="notes.txt", size_bytes=SIZE, sha256=digest)
    get = hardware_service_pb2.GetUploadRequest(header=header)
    async with (
        hardware(tmp_path / "state") as (_, served),
        link(served.address) as broken,
        Services.connect(served.address, TOKEN) as whole,
    ):
        broken.up = [3 * PART_BYTES]
        end_on_arrival(broken, whole.hardware.GetUpload, get, 2 * PART_BYTES)
        async with Services.connect(broken.address, TOKEN) as flow:
            model = await import_model(
                flow, Source(opened, []), "tiny", lambda name, done, _: told.append(done) if "notes" in name else None
            )
            there = await flow.hardware.GetUpload(get)
        stored = await FolderObjects(tmp_path / "state/objects").digest(upload_key(digest))

    assert model.name == "models/tiny"
    assert told.count(PART_BYTES) == 1
    assert told[-1] == there.received_bytes == SIZE
    assert stored.sha256 == digest


async def test_examples_go_up_and_down_over_a_link_that_breaks(tmp_path: Path) -> None:
    """An import, a frozen version, and an export in another form: each goes on, and what came is what was sent."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(ROWS))
    up, down, made = Told(), Told(), Told()
    header = transfer_pb2.ImportHeader(parent=PROJECT, dataset_id="d", request_id="once")
    size, sha256 = measure(path)
    get = transfer_pb2.GetUploadRequest(header=header)
    get.header.filename, get.header.size_bytes, get.header.sha256 = path.name, size, sha256
    async with (
        dataset_service(tmp_path / "state") as (stub, served),
        link(served.address) as broken,
        Services.connect(served.address, TOKEN) as whole,
    ):
        broken.up = [3 * PART_BYTES]
        end_on_arrival(broken, whole.dataset.GetUpload, get, 2 * PART_BYTES)
        async with Services.connect(broken.address, TOKEN) as flow:
            name = (await import_dataset(flow, header, path, up)).name
            before = broken.sent
            await import_dataset(flow, header, path)
            repeated = broken.sent - before
        dataset: dataset_pb2.Dataset = await ended(stub, name)
        version = dataset.versions[0]
        broken.down = [version.artifact.size_bytes // 2]
        async with Services.connect(broken.address, TOKEN) as flow:
            await download_dataset(flow, name, version, tmp_path / "out.jsonl", down)
        broken.down = [500_000]
        request = transfer_pb2.ExportDatasetRequest(name=name, format=format_of("alpaca"))
        async with Services.connect(broken.address, TOKEN) as flow:
            file, written = await export_dataset(flow, request, lambda _: tmp_path / "alpaca.jsonl", made)

    assert up.done.count(PART_BYTES) == 1
    assert repeated < 10_000
    assert hashlib.sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest() == version.artifact.sha256
    assert sorted(down.done) == down.done
    assert hashlib.sha256(written.read_bytes()).hexdigest() == file.sha256
    assert sorted(made.done) == made.done


async def test_a_download_that_was_made_anew_is_not_joined_with_the_old(tmp_path: Path) -> None:
    """The server says that it changed; an offset beyond the end is refused."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(ROWS[:5]))
    header = transfer_pb2.ImportHeader(parent=PROJECT, dataset_id="d")
    artifact = artifact_pb2.Artifact(filename="x", size_bytes=9, sha256="0" * 64)
    async with (
        dataset_service(tmp_path / "state") as (stub, served),
        Services.connect(served.address, TOKEN) as flow,
    ):
        name = (await import_dataset(flow, header, path)).name
        version = (await ended(stub, name)).versions[0]
        other = dataset_pb2.DatasetVersion(version=1, artifact=artifact)
        wanted = dataset_service_pb2.DownloadDatasetRequest(name=name, offset=version.artifact.size_bytes + 1)
        with pytest.raises(FtfError) as changed:
            await download_dataset(flow, name, other, tmp_path / "x")
        with pytest.raises(FtfError) as beyond:
            [_ async for _ in flow.dataset.DownloadDataset(wanted)]

    assert (changed.value.reason, beyond.value.code) == ("ARTIFACT_CHANGED", "INVALID_ARGUMENT")
