"""The rows of a ledger, page by page: all pages of a step together look about once at what the step is made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.common.offsets import page as page_of
from services.common.offsets import start_of, token_of
from services.common.pages import MAX_PAGE, after, checked_size, page
from services.dataset.accounts import Accounts
from services.dataset.core.ledger import OF_EXAMPLES, Row, Step, row_of
from services.dataset.kept import Kept
from services.dataset.store import Examples

MOST_ROWS = 200_000
"""Rows of first steps that are kept, about 200 bytes each."""


class LedgerRows:
    """Lists what steps dropped.

    The steps that are made of examples are read from the store by order, and those of an imported file's rows from the
    import's report, from where the page before ended. Those of a plan, which never changes, are made of it and of which
    calls have an example, and kept from one page to the next; more than MOST_ROWS rows are made for each page anew.
    """

    def __init__(self, accounts: Accounts, examples: Examples) -> None:
        self._accounts = accounts
        self._examples = examples
        self._first: Kept[list[Step]] = Kept(lambda steps: 1 + sum(len(step.rows) for step in steps), MOST_ROWS)

    async def page(self, dataset: Document, name: str, reason: str, size: int, token: str) -> tuple[Sequence[Row], str]:
        """Return a page of what one step dropped, and the next page's token ("" on the last).

        Raises:
            InvalidArgument: there is no such step, or a bad size or token.
        """
        if name in OF_EXAMPLES:
            return await self._of_examples(dataset, name, reason, checked_size(size), token)
        if dataset.get("import"):
            return await self._of_report(dataset, name, reason, checked_size(size), token)
        steps = await self._before_examples(dataset)
        step = next((s for s in steps if s.name == name), None)
        if step is None:
            raise _no_step(name, [s.name for s in steps])
        return page_of([row for row in step.rows if reason in ("", row.reason)], size, token)

    async def _of_report(
        self, dataset: Document, step: str, reason: str, wanted: int, token: str
    ) -> tuple[list[Row], str]:
        dropped = {count["stage"]: count["dropped"] for count in dataset["counts"]}
        if step not in dropped:
            raise _no_step(step, dropped)
        reasons = {found for found in dropped[step] if reason in ("", found)}
        start, report = start_of(token), dataset["import"].get("report")
        if not reasons or not report:
            return [], ""
        rows, after = await self._accounts.left_out.page(report, reasons, wanted, start)
        return rows, token_of(after) if after else ""

    async def _before_examples(self, dataset: Document) -> list[Step]:
        uid = dataset["uid"]
        # Under one plan, calls with an example only become more: their number tells which they are.
        answered = await self._examples.resources.collection.count({"dataset_uid": uid})
        key = (uid, dataset.get("plan_key", ""), json.dumps(dataset["counts"], sort_keys=True), answered)
        return await self._first.get(key, lambda: self._accounts.before_examples(dataset))

    async def _of_examples(
        self, dataset: Document, step: str, reason: str, wanted: int, token: str
    ) -> tuple[list[Row], str]:
        newest = dataset["versions"][-1] if dataset["versions"] else {}
        approved_only = bool(newest.get("approved_only", False))
        where = {"dataset_uid": dataset["uid"], **_narrowed(step)}
        rows: list[Row] = []
        batch = wanted
        while True:
            docs, token = await page(self._examples.resources.collection, where, batch, token)
            for doc in docs:
                row = row_of(doc, step, approved_only)
                if row is None or reason not in ("", row.reason):
                    continue
                rows.append(row)
                if len(rows) == wanted:
                    return rows, after(where, doc) if token or doc is not docs[-1] else ""
            if not token:
                return rows, ""
            batch = min(2 * batch, MAX_PAGE)


def _no_step(name: str, first: Iterable[str]) -> InvalidArgument:
    known = ", ".join((*first, *OF_EXAMPLES))
    return InvalidArgument(f'There is no step "{name[:50]}". The steps are {known}.', field="step")


def _narrowed(step: str) -> dict[str, Any]:
    """Return what the store can tell of the examples that a step dropped."""
    if step == "split":
        return {"delete_time": None, "accepted": True}
    return {} if step == "review" else {"delete_time": None, "accepted": False}
