"""Files of examples up: hashed first, then streamed; the server makes a dataset of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from finetuneflow.dataset.v1 import transfer_pb2
from finetuneflow_client.errors import FtfError
from finetuneflow_client.uploads import PART_BYTES, Progress, measure

if TYPE_CHECKING:
    from finetuneflow.dataset.v1 import dataset_pb2
    from finetuneflow_client.client import Services

_TRIES = 3
# A link slower than this is taken for one that hangs.
_SLOWEST_BYTES_PER_SECOND = 64 << 10


async def import_dataset(
    flow: Services, header: transfer_pb2.ImportHeader, path: Path, progress: Progress | None = None
) -> dataset_pb2.Dataset:
    """Send a file of examples and return the dataset, whose reading is queued.

    A transfer that breaks off is begun again up to twice, and makes one dataset.

    Args:
        flow: the connection.
        header: what the import is going to be; filename, sha256, size_bytes and request_id are filled in.
        path: the file.
        progress: called with bytes sent and bytes in all.

    Raises:
        FtfError: INVALID_ARGUMENT if the file cannot be read or is refused; NOT_FOUND without the project;
            ALREADY_EXISTS if the id is taken; RESOURCE_EXHAUSTED if the server's disk is full.
    """
    size, sha256 = await asyncio.to_thread(measure, path)
    wanted = transfer_pb2.ImportHeader()
    wanted.CopyFrom(header)
    wanted.filename, wanted.sha256, wanted.size_bytes = path.name, sha256, size
    wanted.request_id = header.request_id or str(uuid.uuid4())
    timeout = 60 + size / _SLOWEST_BYTES_PER_SECOND
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            return await flow.dataset.ImportDataset(_parts(path, wanted, progress), timeout=timeout)
        except FtfError as error:
            if last or not error.away:
                raise
        await asyncio.sleep(0.5)
    raise AssertionError("the last try returns or raises")


async def _parts(
    path: Path, header: transfer_pb2.ImportHeader, progress: Progress | None
) -> AsyncIterator[transfer_pb2.ImportDatasetRequest]:
    yield transfer_pb2.ImportDatasetRequest(header=header)
    sent = 0
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, PART_BYTES):
            yield transfer_pb2.ImportDatasetRequest(data=data)
            sent += len(data)
            if progress:
                progress(sent, header.size_bytes)
