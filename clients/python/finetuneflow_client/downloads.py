"""Artifacts down: into a file beside the final one, checked against the SHA-256, then renamed.

A file with the final name is therefore whole. A transfer that broke off leaves a hidden ".part" file whose name holds
the hash that it is going to have, and the next try goes on from its end, also in a later program. One program at a time
writes it. A server refuses to go on with a file that was made anew meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2
from finetuneflow.export.v1 import export_service_pb2
from finetuneflow.training.v1 import training_service_pb2
from finetuneflow_client.attestation import ATTESTATION, SIGNER
from finetuneflow_client.errors import FtfError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from finetuneflow.dataset.v1 import dataset_pb2
    from finetuneflow_client.client import Services

Progress = Callable[[int, int], None]
NamedProgress = Callable[[str, int, int], None]
_TRIES = 5
_PAUSE_SECONDS = 0.5
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


class _Part(Protocol):
    @property
    def data(self) -> bytes: ...


Source = Callable[[int], AsyncIterator[_Part]]


@dataclass(frozen=True)
class _Whole:
    """All of a small file at once."""

    data: bytes


def of_file(progress: NamedProgress | None, name: str) -> Progress | None:
    """Return what one file's transfer tells, where a callback of several files is given its name, too."""
    return None if progress is None else lambda done, of: progress(name, done, of)


async def download_export_artifact(
    flow: Services, export: str, artifact: artifact_pb2.Artifact, folder: Path, progress: Progress | None = None
) -> Path:
    """Fetch one file of an export into a folder; goes on where an earlier try broke off. Errors: as for fetch."""

    def source(offset: int) -> AsyncIterator[_Part]:
        return flow.export.DownloadExportArtifact(
            export_service_pb2.DownloadExportArtifactRequest(
                name=export, filename=artifact.filename, offset=offset, sha256=artifact.sha256
            )
        ).__aiter__()

    return await fetch(source, artifact, place(folder, artifact.filename), progress)


async def download_attestation(flow: Services, export: str, folder: Path) -> tuple[Path, Path]:
    """Put what the installation signs about an export, and its public key, into a folder; return both files.

    Raises:
        FtfError: NOT_FOUND; FAILED_PRECONDITION before the export has succeeded; as for fetch.
    """

    async def write(artifact: artifact_pb2.Artifact, data: bytes) -> Path:
        async def source(offset: int) -> AsyncIterator[_Part]:
            yield _Whole(data[offset:])

        return await fetch(source, artifact, folder / artifact.filename)

    attestation, signer = await signed_files(flow, export)
    return await write(*attestation), await write(*signer)


async def signed_files(flow: Services, export: str) -> list[tuple[artifact_pb2.Artifact, bytes]]:
    """Return the attestation of an export and the public key, as they go beside its files.

    Raises:
        FtfError: NOT_FOUND; FAILED_PRECONDITION before the export has succeeded.
    """
    signed = await flow.export.GetAttestation(export_service_pb2.GetAttestationRequest(name=export))
    files = ((ATTESTATION, signed.envelope.encode()), (SIGNER, signed.key.pem.encode()))
    return [
        (artifact_pb2.Artifact(filename=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()), data)
        for name, data in files
    ]


async def download_run_artifact(
    flow: Services, run: str, artifact: artifact_pb2.Artifact, folder: Path, progress: Progress | None = None
) -> Path:
    """Fetch one of a run's artifacts into a folder. Errors: as for fetch."""
    return await save_run_artifact(flow, run, artifact, place(folder, artifact.filename), progress)


async def save_run_artifact(
    flow: Services, run: str, artifact: artifact_pb2.Artifact, path: Path, progress: Progress | None = None
) -> Path:
    """Fetch one of a run's artifacts as `path`. Errors: as for fetch."""

    def source(offset: int) -> AsyncIterator[_Part]:
        request = training_service_pb2.DownloadRunArtifactRequest(
            name=run, filename=artifact.filename, offset=offset, sha256=artifact.sha256
        )
        return flow.training.DownloadRunArtifact(request).__aiter__()

    return await fetch(source, artifact, path, progress)


async def download_dataset(
    flow: Services, dataset: str, version: dataset_pb2.DatasetVersion, path: Path, progress: Progress | None = None
) -> Path:
    """Fetch a frozen dataset version's JSON Lines as `path`. Errors: as for fetch."""

    def source(offset: int) -> AsyncIterator[_Part]:
        request = dataset_service_pb2.DownloadDatasetRequest(
            name=dataset, version=version.version, offset=offset, sha256=version.artifact.sha256
        )
        return flow.dataset.DownloadDataset(request).__aiter__()

    return await fetch(source, version.artifact, path, progress)


async def fetch(source: Source, artifact: artifact_pb2.Artifact, path: Path, progress: Progress | None = None) -> Path:
    """Write what a source sends as `path`; a file with the right hash that is there already is left as it is.

    Args:
        source: given an offset, yields the bytes from there on.
        artifact: the size and hash that are expected.
        path: the final file; folders above it are made.
        progress: called with bytes there and bytes in all.

    Raises:
        FtfError: DATA_LOSS if the bytes do not have the announced hash; RESOURCE_EXHAUSTED if they cannot be written;
            FAILED_PRECONDITION while another program fetches the same; whatever the source raises.
    """
    part = path.with_name(f".{path.name}.{artifact.sha256[:16]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and await asyncio.to_thread(_sha256, path) == artifact.sha256:
            if progress:
                progress(artifact.size_bytes, artifact.size_bytes)
            return path
        with _held(part, path):
            await _fill(source, artifact, part, progress)
            if await asyncio.to_thread(_sha256, part) != artifact.sha256:
                part.unlink()
                message = f"{path.name} arrived damaged: its SHA-256 is not the announced one"
                raise FtfError(message, "download it again", code="DATA_LOSS")
            os.replace(part, path)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def unwritable(path: Path, error: OSError, choose: str = "choose another folder") -> FtfError:
    """Return RESOURCE_EXHAUSTED for a file that the system does not let be written; the remedy follows from its reason.

    Args:
        choose: what to do where the place itself is wrong; where there is no room it is one of two ways out.
    """
    why, remedy = error.strerror, choose
    if error.errno in _FULL:
        remedy = f"free space or {choose}"
    elif error.errno in (errno.EEXIST, errno.ENOTDIR):
        in_the_way = next((one for one in (path, *path.parents) if one.exists() and not one.is_dir()), path)
        why = f"{in_the_way} is a file, not a folder"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT):
        remedy = f"{choose}, one that you may write to"
    return FtfError(f"cannot write {path}: {why}", remedy, code="RESOURCE_EXHAUSTED")


def keep_others(folder: Path, artifacts: Iterable[artifact_pb2.Artifact]) -> None:
    """Refuse a folder in which an artifact would replace a file that is not the same.

    Raises:
        FtfError: FAILED_PRECONDITION; the message names the file.
    """
    for artifact in artifacts:
        path = place(folder, artifact.filename)
        if path.exists() and not _is(path, artifact.sha256):
            remedy = "choose another folder with -o, or move that file away"
            raise FtfError(f"{path} is there already and is another file", remedy, code="FAILED_PRECONDITION")


def place(folder: Path, filename: str) -> Path:
    """Return where an artifact goes. Raises FtfError DATA_LOSS for a file name that leads out of the folder."""
    relative = PurePosixPath(filename)
    if not filename or relative.is_absolute() or ".." in relative.parts or "\0" in filename or "\\" in filename:
        raise FtfError(f"the server names a file {filename!r}, which leads out of the folder", code="DATA_LOSS")
    return folder / relative


async def _fill(source: Source, artifact: artifact_pb2.Artifact, part: Path, progress: Progress | None) -> None:
    """Append to the part file until it is complete, over as many connections as it takes.

    After _TRIES in a row that brought no further byte, the error is raised.
    """
    left = _TRIES
    while True:
        have = part.stat().st_size if part.exists() else 0
        if have > artifact.size_bytes:
            have = 0
        had = have
        try:
            with part.open("ab" if have else "wb") as file:
                async for message in source(have):
                    if not message.data:
                        continue
                    await asyncio.to_thread(file.write, message.data)
                    have += len(message.data)
                    if progress:
                        progress(have, artifact.size_bytes)
        except FtfError as error:
            left = _TRIES if have > had else left - 1
            if not error.away or not left:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            if have <= artifact.size_bytes or not had:
                return
            # A server from before it could go on has sent all again, so that too much came.
            os.truncate(part, 0)


@contextmanager
def _held(part: Path, path: Path) -> Iterator[None]:
    """Keep other downloads from a part file meanwhile; a system or file system without such locks keeps nobody away.

    Raises:
        FtfError: FAILED_PRECONDITION; another one has it.
    """
    if sys.platform == "win32":
        yield
        return
    while True:
        with part.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"another program is fetching {path}"
                raise FtfError(message, "wait for it", code="FAILED_PRECONDITION") from error
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            # Whoever had it may have given it its final name before it was locked here.
            if _stands_at(file.fileno(), part):
                yield
                return


def _stands_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that has a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is(path: Path, sha256: str) -> bool:
    """Whether it is a file with a hash; one that cannot be read is not."""
    try:
        return path.is_file() and _sha256(path) == sha256
    except OSError:
        return False


def _sha256(path: Path) -> str:
    """Return the hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
