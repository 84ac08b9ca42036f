"""Estimates of datasets: the plan is made as it will be, and nothing is asked."""

from __future__ import annotations

import asyncio

from services.common.documents.port import Document
from services.common.resources import Resources
from services.dataset import rounds
from services.dataset.core.estimate import History, estimate
from services.dataset.endpoints import Endpoints, prices
from services.dataset.ports import Document as File
from services.dataset.ports import Documents
from services.dataset.spec import Plan

_DATASETS = 20
"""Earlier datasets of an endpoint, the newest first, that its speed is taken from."""


class Estimator:
    """Says what a dataset will take."""

    def __init__(self, documents: Documents, endpoints: Endpoints, datasets: Resources) -> None:
        self._documents = documents
        self._endpoints = endpoints
        self._datasets = datasets

    async def of(self, resolved: Document) -> Document:
        """Return the estimate of a dataset that does not exist: its spec and files, as resolved.

        Raises:
            NotReady, Unavailable: its chunks cannot be read.
        """
        endpoint = await self._endpoints.resources.get(resolved["spec"]["llm_endpoint"])
        files = [File(f["name"], f["display_name"], f["sha256"]) for f in resolved["files"]]
        sources = [source for file in files async for source in self._documents.chunks(file)]
        make = await asyncio.to_thread(rounds.Maker, resolved, endpoint["model"], sources)
        planned = await asyncio.to_thread(rounds.planned, resolved["spec"], 1, make)
        return await self.of_plan(resolved, planned, endpoint, make)

    async def of_plan(self, dataset: Document, planned: Plan, endpoint: Document, make: rounds.Maker) -> Document:
        """Return the estimate of a dataset whose first round is planned."""
        spec = dataset["spec"]
        where = {"spec.llm_endpoint": endpoint["_id"], "delete_time": None}
        others = await self._datasets.collection.find(where, sort="order", descending=True, limit=_DATASETS)
        history = History.of([d["usage"] for d in others if d["_id"] != dataset.get("_id")])
        most = len(planned.calls)
        wanted = [n for n in (spec["max_examples"], spec.get("accepted_examples", 0)) if n]
        if spec.get("accepted_examples"):
            most = max(most, await asyncio.to_thread(make.most, spec))
        size = await asyncio.to_thread(_mean_bytes, planned)
        return estimate((min([most, *wanted]), most), size, spec, prices(endpoint), history)


def _mean_bytes(planned: Plan) -> float:
    sizes = [sum(len(m["content"].encode()) for m in call.messages) for call in planned.calls]
    return sum(sizes) / max(1, len(sizes))
