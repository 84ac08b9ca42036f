"""Estimates of datasets: the plan is made as it will be, and nothing is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from services.common.documents.port import Document
from services.common.resources import Resources
from services.dataset import rounds
from services.dataset.core.estimate import Expected, History, Range, estimate, further
from services.dataset.core.example import Verdict
from services.dataset.core.judging import messages
from services.dataset.core.purposes import EMBEDDED, JUDGED
from services.dataset.endpointfields import prices
from services.dataset.endpoints import Endpoints
from services.dataset.measures import Measures
from services.dataset.ports import Document as File
from services.dataset.ports import Documents
from services.dataset.sources import sources_of
from services.dataset.spec import Call, Plan, used_endpoints
from services.dataset.textspec import is_text

_LIKE_A_TEXT = "x" * 90
"""As long as prompts and responses mostly are: what is asked about an example that is not there yet."""
_SAMPLE = 200
"""Calls whose chunks say how much a judge is shown."""
_MEASURED = 1000
"""Calls whose length is measured at most, spread over the plan; of fewer all."""
_DATASETS = 20
"""Earlier datasets of an endpoint, the newest first, that its speed is taken from."""


class Estimator:
    """Says what a dataset will take."""

    def __init__(self, documents: Documents, endpoints: Endpoints, datasets: Resources, measures: Measures) -> None:
        self._documents = documents
        self._endpoints = endpoints
        self._datasets = datasets
        self._measures = measures

    async def of(self, resolved: Document) -> Document:
        """Return the estimate of a dataset that does not exist: its spec and files, as resolved.

        Raises:
            NotReady, Unavailable: its chunks cannot be read.
        """
        if is_text(resolved):
            return {"measured_calls": 0}  # no LLM is asked
        endpoint = await self._endpoints.resources.get(resolved["spec"]["llm_endpoint"])
        files = [File(f["name"], f["display_name"], f["sha256"]) for f in resolved["files"]]
        sources = await sources_of(self._documents, files)
        make = await asyncio.to_thread(rounds.Maker, resolved, endpoint["model"], sources)
        planned = await asyncio.to_thread(rounds.planned, resolved["spec"], 1, make)
        return await self.of_plan(resolved, planned, endpoint, make)

    async def of_plan(self, dataset: Document, planned: Plan, endpoint: Document, make: rounds.Maker) -> Document:
        """Return the estimate of a dataset whose first round is planned."""
        spec = dataset["spec"]
        others = await self._earlier(dataset.get("_id", ""), endpoint)
        history = History.of([d["usage"] for d in others])
        most = len(planned.calls)
        wanted = [n for n in (spec["max_examples"], spec.get("accepted_examples", 0)) if n]
        if spec.get("accepted_examples"):
            most = max(most, await asyncio.to_thread(make.most, spec))
        asked = planned.calls[:: 1 + len(planned.calls) // _MEASURED]
        size = await asyncio.to_thread(_mean_bytes, (call.messages for call in asked))
        expected = Expected((min([most, *wanted]), most), size, prices(endpoint), history)
        shown = await asyncio.to_thread(_judged_bytes, planned.calls[:_SAMPLE]) if spec.get("judge") else 0.0
        judging = await self._further(spec.get("judge"), JUDGED, expected.calls, shown, others)
        semantic = spec.get("semantic_duplicates")
        embedding = await self._further(semantic, EMBEDDED, expected.calls, 2 * len(_LIKE_A_TEXT), others)
        return estimate(spec, expected, judging, embedding)

    async def _earlier(self, dataset: str, endpoint: Document) -> list[Document]:
        """Return `usage` and `endpoints` of the endpoint's other datasets; of its previews while no dataset has any."""
        where = {"spec.llm_endpoint": endpoint["_id"], "delete_time": None}
        found = await self._datasets.collection.find(where, sort="order", descending=True, limit=_DATASETS)
        others = [
            {"usage": doc["usage"], "endpoints": used_endpoints(doc["spec"])} for doc in found if doc["_id"] != dataset
        ]
        measured = History.of([one["usage"] for one in others]).calls
        return others if measured else await self._measures.of(endpoint["uid"])

    async def _further(
        self, settings: Document | None, purpose: str, calls: Range, size: float, others: Sequence[Document]
    ) -> Expected | None:
        """Return what is asked about replies beyond the calls that bring them; None if nothing is."""
        if not settings:
            return None
        name = settings["llm_endpoint"]
        same = [one["usage"] for one in others if one["endpoints"].get(purpose) == name]
        history = History.of(same, purpose)
        endpoint = await self._endpoints.resources.get(name)
        return Expected(further(calls, History.of(same), history), size, prices(endpoint), history)


def _judged_bytes(calls: Iterable[Call]) -> float:
    """Return how much a judge is shown about an example of these calls."""
    return _mean_bytes(messages(Verdict(_LIKE_A_TEXT, _LIKE_A_TEXT), call.source) for call in calls)


def _mean_bytes(asked: Iterable[Sequence[dict[str, str]]]) -> float:
    sizes = [sum(len(m["content"].encode()) for m in messages) for messages in asked]
    return sum(sizes) / max(1, len(sizes))
