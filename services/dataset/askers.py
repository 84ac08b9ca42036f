"""Who makes the calls of a dataset: one asker for each endpoint, all within one budget."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.documents.port import Document
from services.dataset.asking import Asker
from services.dataset.core.purposes import EMBEDDED, JUDGED
from services.dataset.embedder import Embedder
from services.dataset.endpoints import Endpoints
from services.dataset.judge import Judge
from services.dataset.llm import LlmClient
from services.dataset.spec import used_endpoints
from services.dataset.spending import Records, Spending


@dataclass(frozen=True)
class Askers:
    """What asks for one attempt at a dataset.

    Args:
        asker: asks for examples.
        judge: judges them; None if they are not to be judged.
        embedder: gives the vectors that they are compared by; None if they are not.
        clients: those of the endpoints that are asked.
    """

    spending: Spending
    asker: Asker
    judge: Judge | None
    embedder: Embedder | None
    clients: tuple[LlmClient, ...]


async def askers(dataset: Document, endpoints: Endpoints, calls: Records, patience: float) -> Askers:
    """Return what asks for a dataset; nothing is read or asked yet. Askers of one endpoint are one.

    Args:
        patience: seconds that an endpoint may be away before that is an error.

    Raises:
        NotReady: an endpoint is gone or may not be called (NO_LLM_ENDPOINT, LLM_NOT_ALLOWED).
    """
    spec, names = dataset["spec"], used_endpoints(dataset["spec"])
    clients = {name: await endpoints.client(name) for name in names.values()}
    spending = Spending(calls, dataset, {part: clients[name].endpoint.prices for part, name in names.items()})
    by_name = {name: Asker(client, spending, spec, patience) for name, client in clients.items()}
    judge = embedder = None
    if JUDGED in names:
        judging = by_name[names[JUDGED]]
        judge = Judge(judging.ask, judging.llm, spec)
    if EMBEDDED in names:
        embedder = Embedder(clients[names[EMBEDDED]], spec["semantic_duplicates"]["model"], spending, patience)
    return Askers(spending, by_name[names[""]], judge, embedder, tuple(clients.values()))
