"""The dataset service's door to ledgers and reviews. Translates, and decides nothing."""

from __future__ import annotations

from finetuneflow.dataset.v1 import dataset_service_pb2_grpc, ledger_pb2, review_pb2
from services.common import ids
from services.common.auth import current_principal
from services.common.errors import InvalidArgument
from services.common.interceptors import Context
from services.dataset import form
from services.dataset.accounts import Accounts
from services.dataset.core.review import Word
from services.dataset.ledgerrows import LedgerRows
from services.dataset.reviewing import EXAMPLE, Reviewing
from services.dataset.service import DATASET, Datasets


class AccountsApi(dataset_service_pb2_grpc.DatasetServiceServicer):
    """The part of DatasetService that accounts for what became of things."""

    def __init__(self, datasets: Datasets, reviewing: Reviewing, accounts: Accounts) -> None:
        self._all = datasets
        self._reviews = reviewing
        self._accounts = accounts
        self._rows = LedgerRows(accounts, datasets.examples)

    async def GetLedger(self, request: ledger_pb2.GetLedgerRequest, context: Context) -> ledger_pb2.Ledger:
        """Return a dataset's ledger as it is now, or that of a version."""
        ids.parse_name(request.name, DATASET)
        if request.version:
            steps = (await self._all.version(request.name, request.version, erased_too=True)).get("ledger", [])
        else:
            doc = await self._all.resources.get(request.name)
            steps = [step.to_document() for step in await self._accounts.steps(doc)]
        return ledger_pb2.Ledger(
            dataset=request.name, version=request.version, steps=[form.ledger_step(step) for step in steps]
        )

    async def ListLedgerRows(
        self, request: ledger_pb2.ListLedgerRowsRequest, context: Context
    ) -> ledger_pb2.ListLedgerRowsResponse:
        """Return a page of what a step dropped."""
        ids.parse_name(request.parent, DATASET, "parent")
        doc = await self._all.resources.get(request.parent)
        rows, token = await self._rows.page(doc, request.step, request.reason, request.page_size, request.page_token)
        found = [ledger_pb2.LedgerRow(reason=r.reason, name=r.name, count=r.count, detail=r.detail) for r in rows]
        return ledger_pb2.ListLedgerRowsResponse(rows=found, next_page_token=token)

    async def ReviewExamples(
        self, request: review_pb2.ReviewExamplesRequest, context: Context
    ) -> review_pb2.ReviewExamplesResponse:
        """Say something of examples."""
        ids.parse_name(request.parent, DATASET, "parent")
        for name in request.names:
            ids.parse_name(name, EXAMPLE, "names")
            if not name.startswith(request.parent + "/"):
                raise InvalidArgument(
                    f"{name} is not of {request.parent}. Name examples of one dataset.", field="names"
                )
        action = review_pb2.ReviewAction.Name(request.action).removeprefix("REVIEW_ACTION_")
        word = Word(
            "" if action == "UNSPECIFIED" else action,
            current_principal().name,
            tuple(request.add_tags),
            tuple(request.remove_tags),
            request.note if request.HasField("note") else None,
        )
        done = await self._reviews.review(
            request.parent, list(request.names), request.filter, word, request.validate_only
        )
        return review_pb2.ReviewExamplesResponse(
            matched=done.matched, changed=done.changed, taken_in=done.taken_in, skipped=done.skipped
        )
