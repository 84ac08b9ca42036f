"""Files of examples up: hashed first, then streamed; the server makes a dataset of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

from finetuneflow.dataset.v1 import transfer_pb2
from finetuneflow_client.uploads import Progress, measure, parts, sent

if TYPE_CHECKING:
    from finetuneflow.common.v1 import upload_pb2
    from finetuneflow.dataset.v1 import dataset_pb2
    from finetuneflow_client.client import Services


async def import_dataset(
    flow: Services, header: transfer_pb2.ImportHeader, path: Path, progress: Progress | None = None
) -> dataset_pb2.Dataset:
    """Send a file of examples and return the dataset, whose reading is queued.

    A transfer that breaks off goes on where it was, in this call or with the same request_id in a later program, and
    makes one dataset.

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

    def there() -> Awaitable[upload_pb2.Upload]:
        return flow.dataset.GetUpload(transfer_pb2.GetUploadRequest(header=wanted))

    def call(offset: int, timeout: float) -> Awaitable[dataset_pb2.Dataset]:
        rows = parts(lambda: path.open("rb"), wanted, offset, transfer_pb2.ImportDatasetRequest, progress)
        return flow.dataset.ImportDataset(rows, timeout=timeout)

    return await sent(there, call, size)
