"""The dataset service's door to frozen versions and to forgetting. Translates, and decides nothing."""

from __future__ import annotations

from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2_grpc, versions_pb2
from services.common import ids
from services.common.errors import InvalidArgument
from services.common.interceptors import Context
from services.common.offsets import page
from services.dataset import form
from services.dataset.core.diff import ADDED, CHANGED, MOVED, REMOVED, Change
from services.dataset.forgetting import Forgetting
from services.dataset.service import DATASET, Datasets
from services.dataset.versions import Versions

FILE = "projects/*/files/*"
DEFAULT_DATASETS, MAX_DATASETS = 20, 100


class VersionsApi(dataset_service_pb2_grpc.DatasetServiceServicer):
    """The part of DatasetService that reads frozen versions again."""

    def __init__(self, datasets: Datasets, versions: Versions, forgetting: Forgetting) -> None:
        self._owners = datasets
        self._versions = versions
        self._forgetting = forgetting

    async def DiffVersions(
        self, request: versions_pb2.DiffVersionsRequest, context: Context
    ) -> versions_pb2.DiffVersionsResponse:
        """Compare two versions."""
        ids.parse_name(request.base, DATASET, "base")
        if request.other:
            ids.parse_name(request.other, DATASET, "other")
        base, other, found = await self._versions.compare(
            request.base, request.base_version, request.other, request.other_version
        )
        shown, token = page(found.changes, request.page_size, request.page_token)
        return versions_pb2.DiffVersionsResponse(
            base_version=base["version"],
            other_version=other["version"],
            added=found.counts[ADDED],
            removed=found.counts[REMOVED],
            changed=found.counts[CHANGED],
            moved=found.counts[MOVED],
            same=found.same,
            changes=[_change(change) for change in shown],
            next_page_token=token,
        )

    async def ListUses(self, request: versions_pb2.ListUsesRequest, context: Context) -> versions_pb2.ListUsesResponse:
        """Say who used a file."""
        (project, _) = ids.parse_name(request.file, FILE, "file")
        if not 0 <= request.page_size <= MAX_DATASETS:
            raise InvalidArgument(
                f"page_size is {request.page_size}; use 1 to {MAX_DATASETS}, or 0.", field="page_size"
            )
        docs, token = await self._owners.resources.page(
            {"parent": f"projects/{project}"}, request.page_size or DEFAULT_DATASETS, request.page_token
        )
        found = [await self._versions.uses(doc, request.file) for doc in docs]
        uses = [form.use(use) for use in found if use is not None]
        return versions_pb2.ListUsesResponse(uses=uses, next_page_token=token)

    async def ForgetFile(self, request: versions_pb2.ForgetFileRequest, context: Context) -> dataset_pb2.Dataset:
        """Take a file out of a dataset."""
        ids.parse_name(request.name, DATASET)
        ids.parse_name(request.file, FILE, "file")
        return form.dataset(await self._forgetting.forget(request.name, request.file, request.erase_versions))


def _change(change: Change) -> versions_pb2.Change:
    before, after = change.before, change.after
    return versions_pb2.Change(
        kind=versions_pb2.ChangeKind.Value(f"CHANGE_KIND_{change.kind}"),
        example=change.shown.name,
        before_split=before.split if before else "",
        after_split=after.split if after else "",
        before_sha256=before.sha256 if before else "",
        after_sha256=after.sha256 if after else "",
        file_display_name=change.shown.file_name,
        prompt=change.shown.prompt,
    )
