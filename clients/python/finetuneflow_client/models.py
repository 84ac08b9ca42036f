"""Base models: by name, by place, or sent: each file hashed, and sent unless the server has it."""

from __future__ import annotations

import asyncio
import tarfile
import zipfile
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from finetuneflow.hardware.v1 import model_pb2
from finetuneflow_client import names
from finetuneflow_client.downloads import NamedProgress, of_file
from finetuneflow_client.errors import FtfError
from finetuneflow_client.uploads import parts, sent

if TYPE_CHECKING:
    from finetuneflow_client.client import Services

SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model", ".md")
_LICENSES = ("LICENSE", "LICENCE")
_REASON = "MODEL_FILES_MISSING"

Open = Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Source:
    """Files of a model by name, and what was left out of it: code, pickled weights, files in folders."""

    files: dict[str, Open]
    left_out: list[str]


async def import_model(
    flow: Services, source: Source, model_id: str, progress: NamedProgress | None = None
) -> model_pb2.Model:
    """Upload a model's files and record it; files that the server has are not sent again.

    Repeating it returns the model that is there.

    Args:
        flow: the connection.
        source: of opened().
        model_id: id to give it.
        progress: called with a file's name, its bytes sent and its bytes in all.

    Raises:
        FtfError: INVALID_ARGUMENT if the files are no model; RESOURCE_EXHAUSTED if the server's disk is full.
    """
    artifacts = [await asyncio.to_thread(_measured, name, open_) for name, open_ in source.files.items()]
    request = pb.CreateModelRequest(model=model_pb2.Model(uploaded=True, files=artifacts), model_id=model_id)
    headers = {one.filename: one for one in artifacts}
    while True:
        try:
            return await flow.hardware.CreateModel(request, timeout=600)
        except FtfError as error:
            missing = [name for name in error.metadata.get("filenames", "").split("\n") if name in headers]
            if error.reason != _REASON or not missing:
                raise
        for name in missing:
            await _upload(flow, headers.pop(name), source.files[name], progress)


async def base_model(flow: Services, value: str) -> str:
    """Return a model's name: from its name or id, or by adding a folder of the server's machine or a hub id.

    Adding what has been added before returns what is there.
    """
    if value.startswith("models/"):
        return value
    source = _source(value)
    if source is None:
        return names.full("models", value)
    # Hashing the weights of a large model takes its time.
    return (await flow.hardware.CreateModel(pb.CreateModelRequest(model=source), timeout=600)).name


def _source(value: str) -> model_pb2.Model | None:
    """Return the model to add for a path or a hub id; None for the id of one that is there."""
    path = Path(value).expanduser()
    # A folder that happens to be called like a model's id is meant only if there is a model in it.
    is_folder = path.is_dir() and (not names.is_id(value) or (path / "config.json").exists())
    if is_folder or value.startswith((".", "/", "~")):
        return model_pb2.Model(local_path=str(path.absolute()))
    return model_pb2.Model(hub_id=value) if "/" in value or not names.is_id(value) else None


async def _upload(flow: Services, file: artifact_pb2.Artifact, open_: Open, progress: NamedProgress | None) -> None:
    header = pb.ModelFileHeader(filename=file.filename, size_bytes=file.size_bytes, sha256=file.sha256)

    def call(offset: int, timeout: float) -> Awaitable[pb.UploadModelFileResponse]:
        told = of_file(progress, file.filename)
        return flow.hardware.UploadModelFile(
            parts(open_, header, offset, pb.UploadModelFileRequest, told), timeout=timeout
        )

    await sent(lambda: flow.hardware.GetUpload(pb.GetUploadRequest(header=header)), call, file.size_bytes)


def _measured(name: str, open_: Open) -> artifact_pb2.Artifact:
    digest, size = sha256(), 0
    with open_() as stream:
        while data := stream.read(1 << 20):
            digest.update(data)
            size += len(data)
    return artifact_pb2.Artifact(filename=name, size_bytes=size, sha256=digest.hexdigest())


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a folder, a zip or a tar archive with one model; closed after the block.

    In an archive the model may lie in one folder. Nothing is unpacked to disk.

    Raises:
        FtfError: INVALID_ARGUMENT if it cannot be read, or holds no config.json.
    """
    try:
        if path.is_dir():
            entries = sorted(path.iterdir())
            files = {one.name: _of_path(one) for one in entries if one.is_file()}
            yield _chosen(path, files, [f"{one.name}/" for one in entries if one.is_dir()])
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as pack:
                found, others = _below([i.filename for i in pack.infolist() if not i.is_dir()])
                yield _chosen(path, {name: _of_zip(pack, full) for name, full in found.items()}, others)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                members = {m.name.removeprefix("./"): m for m in archive if m.isfile()}
                found, others = _below(list(members))
                yield _chosen(path, {name: _of_tar(archive, members[full]) for name, full in found.items()}, others)
        else:
            raise FtfError(f"{path} is no folder, zip or tar archive", "name one of these", code="INVALID_ARGUMENT")
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
        # RuntimeError: an encrypted zip.
        system = error.strerror if isinstance(error, OSError) else None
        remedy = "check the path" if system else "check the file"
        raise FtfError(f"cannot read {path}: {system or error}", remedy, code="INVALID_ARGUMENT") from None


def _below(names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return file name → name in the archive, of the folder that holds config.json; and the names of all others."""
    config = min((n for n in names if n.rpartition("/")[2] == "config.json"), key=lambda n: n.count("/"), default="")
    folder = config.removesuffix("config.json")
    found = {n.removeprefix(folder): n for n in names if n.startswith(folder) and "/" not in n.removeprefix(folder)}
    return found, [name for name in names if name not in found.values()]


def _chosen(path: Path, files: dict[str, Open], others: list[str]) -> Source:
    kept = {name: open_ for name, open_ in files.items() if name.endswith(SUFFIXES) or name in _LICENSES}
    if "config.json" not in kept:
        raise FtfError(
            f"{path} holds no config.json", "give a model in the Hugging Face layout", code="INVALID_ARGUMENT"
        )
    left_out = [name for name in [*files, *others] if name not in kept and not name.startswith(".")]
    return Source(kept, sorted(left_out))


def _of_path(path: Path) -> Open:
    return lambda: path.open("rb")


def _of_zip(pack: zipfile.ZipFile, name: str) -> Open:
    return lambda: pack.open(name)


def _of_tar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Open:
    def open_() -> IO[bytes]:
        stream = archive.extractfile(member)
        if stream is None:  # links are left out before
            raise tarfile.TarError(f"{member.name} is no file")
        return stream

    return open_
