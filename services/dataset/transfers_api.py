"""The door for datasets that come from other programs, or go to them. Translates, and decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from finetuneflow.common.v1 import upload_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.dataset.v1 import transfer_pb2 as pb
from services.common import ids
from services.common.auth import current_principal
from services.common.errors import InvalidArgument
from services.common.interceptors import Context
from services.common.objects.port import Objects
from services.common.objects.served import check_range
from services.dataset import form, transferform
from services.dataset.exporting import Exporter
from services.dataset.importing import Imports, report_of
from services.dataset.lines import blocks
from services.dataset.service import DATASET, Datasets

MAX_PART = 1 << 20


class TransfersApi:
    """The part of DatasetService that is about files of examples."""

    def __init__(self, datasets: Datasets, imports: Imports, objects: Objects, exporter: Exporter) -> None:
        self.__datasets = datasets
        self.__imports = imports
        self.__objects = objects
        self.__exporter = exporter

    async def ExportDataset(
        self, request: pb.ExportDatasetRequest, context: Context
    ) -> AsyncIterator[pb.ExportDatasetResponse]:
        """Send a frozen version in the form of another program."""
        ids.parse_name(request.name, DATASET)
        wish = transferform.wish(request)
        if request.from_reviews:
            doc = await self.__datasets.resources.get(request.name)
            examples = await self.__datasets.examples.all(doc)
            async with self.__exporter.export_reviews(examples, doc["spec"]["system_prompt"], wish) as made:
                async for part in _sent(request, transferform.exported(request.name, 0, wish, made), made.path):
                    yield part
            return
        version = await self.__datasets.version(request.name, request.version)
        async with self.__exporter.export(version["artifact"]["key"], wish) as made:
            file = transferform.exported(request.name, version["version"], wish, made)
            async for part in _sent(request, file, made.path):
                yield part

    async def ImportDataset(
        self, request: AsyncIterator[pb.ImportDatasetRequest], context: Context
    ) -> dataset_pb2.Dataset:
        """Store a file of examples and queue its reading."""
        parts = aiter(request)
        first = await anext(parts, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidArgument("An import begins with a header. Send it before the bytes.", field="header")
        header = transferform.header(first.header)
        return form.dataset(await self.__imports.begin(header, _bytes(parts), current_principal().name))

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> upload_pb2.Upload:
        """Return what there is of an import's file."""
        received = await self.__imports.received(transferform.header(request.header))
        return upload_pb2.Upload(received_bytes=received)

    async def DownloadImportReport(
        self, request: pb.DownloadImportReportRequest, context: Context
    ) -> AsyncIterator[pb.DownloadImportReportResponse]:
        """Send every row that an import left out."""
        ids.parse_name(request.name, DATASET)
        report = report_of(await self.__datasets.resources.get(request.name))
        if report:
            async for data in self.__objects.get(report["key"]):
                yield pb.DownloadImportReportResponse(data=data)


async def _sent(
    request: pb.ExportDatasetRequest, file: pb.ExportedFile, path: Path
) -> AsyncIterator[pb.ExportDatasetResponse]:
    check_range(file.filename, file.size_bytes, file.sha256, request.offset, request.sha256)
    yield pb.ExportDatasetResponse(file=file)
    async for data in blocks(path, request.offset):
        yield pb.ExportDatasetResponse(data=data)


async def _bytes(parts: AsyncIterator[pb.ImportDatasetRequest]) -> AsyncIterator[bytes]:
    async for part in parts:
        if part.WhichOneof("part") != "data":
            raise InvalidArgument("An import has one header. Send bytes after it.", field="header")
        if len(part.data) > MAX_PART:
            raise InvalidArgument(f"A part has more than {MAX_PART:,} bytes. Send less at once.", field="data")
        yield part.data
