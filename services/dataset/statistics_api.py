"""The dataset service's door to numbers and reports. Translates, and decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import dataset_service_pb2_grpc, statistics_pb2
from services.common import ids
from services.common.interceptors import Context
from services.dataset import form
from services.dataset.reporting import Reporting
from services.dataset.service import DATASET

_BLOCK = 1024 * 1024


class StatisticsApi(dataset_service_pb2_grpc.DatasetServiceServicer):
    """The part of DatasetService that counts."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting

    async def GetDatasetStatistics(
        self, request: pb.GetDatasetStatisticsRequest, context: Context
    ) -> pb.DatasetStatistics:
        """Count a dataset's examples."""
        ids.parse_name(request.name, DATASET)
        found = await self._reporting.count(
            request.name, tokens=request.count_tokens, model=request.model, max_length=request.max_length
        )
        return form.statistics(found)

    async def MakeDatasetReport(
        self, request: statistics_pb2.MakeDatasetReportRequest, context: Context
    ) -> AsyncIterator[statistics_pb2.MakeDatasetReportResponse]:
        """Send a dataset's report."""
        ids.parse_name(request.name, DATASET)
        files = await self._reporting.report(request.name, model=request.model, max_length=request.max_length)
        for filename, content in files:
            for start in range(0, len(content), _BLOCK):
                part = content[start : start + _BLOCK]
                yield statistics_pb2.MakeDatasetReportResponse(filename=filename, data=part)
