"""Files of examples for the dataset service, in and out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as service_pb
from finetuneflow.dataset.v1 import transfer_pb2 as pb
from tests.fakes.datasets import PROJECT, ended

FORMATS = ("alpaca", "sharegpt", "messages", "prompt-completion", "preference", "kto")
ENCODINGS = ("jsonl", "csv", "parquet")


def lines(rows: Iterable[Any]) -> bytes:
    """Return rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def format_of(name: str) -> Any:
    """Return the contract's value for a format's name."""
    return dataset_pb2.DatasetFormat.Value("DATASET_FORMAT_" + (name.upper().replace("-", "_") or "UNSPECIFIED"))


def encoding_of(name: str) -> Any:
    """Return the contract's value for an encoding's name."""
    return dataset_pb2.DatasetEncoding.Value("DATASET_ENCODING_" + (name.upper() or "UNSPECIFIED"))


async def begun(stub: Any, data: bytes, id: str = "d", **wanted: Any) -> dataset_pb2.Dataset:
    """Send a file and return the dataset, whose reading is queued."""
    format, encoding = format_of(wanted.pop("format", "")), encoding_of(wanted.pop("encoding", ""))
    spec = dataset_pb2.DatasetSpec(**wanted.pop("spec", {}))
    fields = {"filename": "rows.jsonl", "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), **wanted}
    header = pb.ImportHeader(
        parent=PROJECT,
        dataset_id=id,
        dataset=dataset_pb2.Dataset(spec=spec),
        format=format,
        encoding=encoding,
        **fields,
    )

    async def parts() -> AsyncIterator[pb.ImportDatasetRequest]:
        yield pb.ImportDatasetRequest(header=header)
        for start in range(0, len(data), 1 << 20):
            yield pb.ImportDatasetRequest(data=data[start : start + (1 << 20)])

    return await stub.ImportDataset(parts())


async def imported(stub: Any, data: bytes, id: str = "d", **wanted: Any) -> dataset_pb2.Dataset:
    """Send a file and wait until it is a dataset, or refused."""
    return await ended(stub, (await begun(stub, data, id, **wanted)).name)


async def exported(stub: Any, id: str = "d", format: str = "", encoding: str = "", **wanted: Any) -> bytes:
    """Return a dataset in another form."""
    request = pb.ExportDatasetRequest(
        name=f"{PROJECT}/datasets/{id}", format=format_of(format), encoding=encoding_of(encoding), **wanted
    )
    return b"".join([part.data async for part in stub.ExportDataset(request)])


async def frozen(stub: Any, id: str = "d") -> list[dict[str, Any]]:
    """Return what a frozen version teaches: its lines without ids and provenance, in an order of their own."""
    request = service_pb.DownloadDatasetRequest(name=f"{PROJECT}/datasets/{id}")
    data = b"".join([part.data async for part in stub.DownloadDataset(request)])
    rows = [json.loads(line) for line in data.decode().splitlines()]
    return sorted(({k: v for k, v in row.items() if k not in ("id", "source")} for row in rows), key=json.dumps)


async def report(stub: Any, id: str = "d") -> list[dict[str, Any]]:
    """Return the problems of an import's rows."""
    request = pb.DownloadImportReportRequest(name=f"{PROJECT}/datasets/{id}")
    data = b"".join([part.data async for part in stub.DownloadImportReport(request)])
    return [json.loads(line) for line in data.decode().splitlines()]
