"""Datasets down, in the form of another program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.dataset.v1 import transfer_pb2
from finetuneflow_client.downloads import Progress, fetch

if TYPE_CHECKING:
    from finetuneflow_client.client import Services

Begun = Callable[[transfer_pb2.ExportedFile], Path]


async def export_dataset(
    flow: Services, request: transfer_pb2.ExportDatasetRequest, begun: Begun, progress: Progress | None = None
) -> tuple[transfer_pb2.ExportedFile, Path]:
    """Fetch a dataset in another form, checked against its hash.

    Args:
        flow: the connection.
        request: which dataset, and the form.
        begun: given what is going to come, says where to put it.
        progress: called with bytes there and bytes in all.

    Raises:
        FtfError: NOT_FOUND; FAILED_PRECONDITION if there is no version, or nothing in it can be written so; as fetch.
    """
    parts = flow.dataset.ExportDataset(request).__aiter__()
    file = (await anext(parts)).file
    path = begun(file)
    artifact = artifact_pb2.Artifact(filename=path.name, size_bytes=file.size_bytes, sha256=file.sha256)
    begun_parts = [parts]

    def source(offset: int) -> AsyncIterator[transfer_pb2.ExportDatasetResponse]:
        if begun_parts and not offset:
            return begun_parts.pop()
        going_on = transfer_pb2.ExportDatasetRequest()
        going_on.CopyFrom(request)
        going_on.offset, going_on.sha256 = offset, file.sha256
        return flow.dataset.ExportDataset(going_on).__aiter__()

    await fetch(source, artifact, path, progress)
    return file, path
