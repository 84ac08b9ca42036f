"""Models that are uploaded: what comes in, what is refused, what is sent twice, what becomes of leftovers."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from finetuneflow.hardware.v1 import model_pb2
from finetuneflow_client.client import Services
from finetuneflow_client.errors import FtfError
from finetuneflow_client.models import import_model, opened
from services.common.clock import SystemClock
from services.common.documents.sqlite import SqliteDocuments
from services.common.objects.folder import FolderObjects
from services.common.objects.unfinished import Unfinished
from services.common.resources import Resources
from services.hardware.core_model import File
from services.hardware.store import MODEL_INDEXES, upload_key
from services.hardware.uploaded import Uploaded, UploadSweeper
from tests.fakes.clock import FakeClock
from tests.fakes.hardware import create, hardware
from tests.fakes.model_folder import PARAMETERS, model_files, sharded, write_folder
from tests.fakes.running import TOKEN, Served


def artifacts(files: Mapping[str, bytes]) -> list[artifact_pb2.Artifact]:
    """What a client announces."""
    return [
        artifact_pb2.Artifact(filename=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    ]


async def send(stub: Any, name: str, data: bytes, announced: bytes | None = None) -> None:
    """Upload one file, announced as it is or as something else."""
    said = data if announced is None else announced
    header = pb.ModelFileHeader(filename=name, size_bytes=len(said), sha256=hashlib.sha256(said).hexdigest())
    await stub.UploadModelFile(iter([pb.UploadModelFileRequest(header=header), pb.UploadModelFileRequest(data=data)]))


def pack(folder: Path, target: Path) -> Path:
    """Make a zip or a tar of a folder, named in it."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as packed:
            for path in sorted(folder.iterdir()):
                packed.write(path, f"{folder.name}/{path.name}")
            for path in sorted(folder.glob("*/*")):
                packed.write(path, f"{folder.name}/{path.relative_to(folder)}")
    else:
        with tarfile.open(target, "w:gz") as archive:
            archive.add(folder, folder.name)
    return target


def unfinished(objects: FolderObjects) -> Unfinished:
    """Where what came of broken uploads is."""
    return Unfinished(objects, "hardware", SystemClock())


async def refused(call: Awaitable[Any]) -> FtfError:
    """Return what a client's call is refused with."""
    with pytest.raises(FtfError) as caught:
        await call
    return caught.value


async def imported(served: Served, path: Path, model_id: str, sent: list[str]) -> model_pb2.Model:
    """Import by the client; `sent` gets the names of the files whose bytes go."""
    async with Services.connect(served.address, TOKEN) as flow:
        with opened(path) as source:
            return await import_model(flow, source, model_id, lambda name, done, total: sent.append(name))


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
async def test_a_folder_or_an_archive_becomes_a_model(tmp_path: Path, form: str) -> None:
    """It has the revision of the same folder; what was sent is not sent again; code and pickles stay behind."""
    files = sharded(model_files())
    folder = write_folder(tmp_path / "tiny", {**files, "modeling_x.py": b"print()", "old.bin": b"x"})
    write_folder(folder / "onnx", {"model.onnx": b"x"})
    path = folder if form == "folder" else pack(folder, tmp_path / f"tiny.{form}")
    sent: list[str] = []
    again: list[str] = []
    async with hardware(tmp_path / "state") as (stub, served):
        model = await imported(served, path, "tiny", sent)
        same = await imported(served, path, "tiny", again)
        beside = await stub.CreateModel(create(write_folder(tmp_path / "plain", files)))
        with opened(path) as source:
            left_out = source.left_out

    assert (model.name, model.uploaded, model.parameters) == ("models/tiny", True, PARAMETERS)
    assert model.revision == beside.revision
    assert {file.key for file in model.files} == {upload_key(file.sha256) for file in model.files}
    assert (sorted(set(sent)), again, same.meta.uid) == (sorted(files), [], model.meta.uid)
    assert left_out == ["modeling_x.py", "old.bin", "onnx/" if form == "folder" else "tiny/onnx/model.onnx"]


async def test_files_are_refused_one_by_one(tmp_path: Path) -> None:
    """Code, pickles, paths and bytes that are others than announced leave nothing in the store."""
    async with hardware(tmp_path / "state") as (_, served), Services.connect(served.address, TOKEN) as flow:
        reasons = [
            (await refused(send(flow.hardware, name, b"x", announced))).reason
            for name, announced in (
                ("pytorch_model.bin", None),
                ("modeling_x.py", None),
                ("../config.json", None),
                ("config.json", b"y"),
                ("config.json", b"longer"),
            )
        ]
        objects = [key async for key in FolderObjects(tmp_path / "state/objects").list("")]

    assert reasons == ["PICKLE_WEIGHTS", "MODEL_INVALID", "MODEL_INVALID", "HASH_MISMATCH", "HASH_MISMATCH"]
    assert objects == []


async def test_what_is_missing_is_named_and_what_is_no_model_is_refused(tmp_path: Path) -> None:
    """Names of the files that are not there; and a folder's own reason, without a path of the server."""
    files = model_files()
    small = {name: data for name, data in files.items() if name != "tokenizer.json"}
    async with hardware(tmp_path / "state") as (_, served), Services.connect(served.address, TOKEN) as flow:
        stub = flow.hardware
        request = pb.CreateModelRequest(model=model_pb2.Model(uploaded=True, files=artifacts(files)))
        missing = await refused(stub.CreateModel(request))
        for name, data in small.items():
            await send(stub, name, data)
        fewer = await refused(stub.CreateModel(request))
        request = pb.CreateModelRequest(model=model_pb2.Model(uploaded=True, files=artifacts(small)))
        invalid = await refused(stub.CreateModel(request))

    assert missing.reason == fewer.reason == "MODEL_FILES_MISSING"
    assert missing.metadata["filenames"].split("\n") == list(files)
    assert fewer.metadata["filenames"] == "tokenizer.json"
    assert (invalid.reason, str(tmp_path) in str(invalid)) == ("MODEL_INVALID", False)


async def test_a_sweep_removes_what_no_model_names(tmp_path: Path) -> None:
    """A file of a model stays; one that nobody named goes once its time is over, and no sooner."""
    files = model_files()
    folder = write_folder(tmp_path / "tiny", files)
    state = tmp_path / "state"
    async with hardware(state) as (stub, served):
        await imported(served, folder, "tiny", [])
        await send(stub, "config.json", b"{}")
        objects = FolderObjects(state / "objects")
        documents = SqliteDocuments(state / "documents/hardware.db")
        models = Resources(documents.collection("models", MODEL_INDEXES), "model", SystemClock())
        await UploadSweeper(models, objects, unfinished(objects), age_seconds=60).sweep()
        kept = [key async for key in objects.list("modelUploads/")]
        sweeper = UploadSweeper(models, objects, unfinished(objects), age_seconds=0)
        await sweeper.sweep()
        left = [key async for key in objects.list("modelUploads/")]
        await stub.DeleteModel(pb.DeleteModelRequest(name="models/tiny"))
        await sweeper.sweep()
        none = [key async for key in objects.list("modelUploads/")]
        await documents.close()

    assert (len(kept), len(left), none) == (len(files) + 1, len(files), [])


class Watched(FolderObjects):
    """Objects of a folder; before one is listed something happens."""

    meanwhile: Callable[[], Awaitable[None]]

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """List keys, once it has happened."""
        keys = [key async for key in super().list(prefix)]
        await self.meanwhile()
        for key in keys:
            yield key


async def test_a_sweep_takes_nothing_that_is_wanted_again_while_it_looks(tmp_path: Path) -> None:
    """Neither what a model was just made of, nor what is uploaded once more: its time begins anew."""
    folder = write_folder(tmp_path / "tiny", model_files())
    state = tmp_path / "state"
    async with hardware(state) as (stub, served):
        await imported(served, folder, "tiny", [])
        await stub.DeleteModel(pb.DeleteModelRequest(name="models/tiny"))
        documents = SqliteDocuments(state / "documents/hardware.db")
        models = Resources(documents.collection("models", MODEL_INDEXES), "model", SystemClock())
        objects = Watched(state / "objects")

        async def again() -> None:
            await imported(served, folder, "again", [])

        objects.meanwhile = again
        await UploadSweeper(models, objects, unfinished(objects), age_seconds=0).sweep()
        kept = [key async for key in FolderObjects(state / "objects").list("modelUploads/")]
        await documents.close()

    assert len(kept) == len(model_files())


async def test_an_upload_begins_the_day_of_its_file_anew(tmp_path: Path) -> None:
    """Also of one that is there already."""
    clock = FakeClock()
    objects = FolderObjects(tmp_path / "objects")
    documents = SqliteDocuments(tmp_path / "hardware.db")
    models = Resources(documents.collection("models", MODEL_INDEXES), "model", clock)
    sweeper = UploadSweeper(models, objects, unfinished(objects), 100)
    uploaded = Uploaded(objects, tmp_path, unfinished(objects), sweeper.keep)
    file = File("config.json", 2, hashlib.sha256(b"{}").hexdigest())

    async def data() -> AsyncIterator[bytes]:
        yield b"{}"

    found = []
    for again in (True, True, False):
        if again:
            await uploaded.take(file, data())
        await sweeper.sweep()
        clock.turn(100)
        found.append(await objects.size(upload_key(file.sha256)))
    await sweeper.sweep()
    last = await objects.size(upload_key(file.sha256))
    await documents.close()

    assert (found, last) == ([2, 2, None], None)


def test_what_is_no_model_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    """An empty folder, a file that is no archive, and half a download."""
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(FtfError, match=r"holds no config\.json"), opened(write_folder(tmp_path / "empty", {})):
        pass
    with pytest.raises(FtfError, match="no folder, zip or tar archive"), opened(tmp_path / "text.txt"):
        pass
    whole = pack(write_folder(tmp_path / "tiny", model_files()), tmp_path / "tiny.tar.gz")
    half = tmp_path / "half.tar.gz"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(FtfError, match="cannot read"), opened(half):
        pass
