"""Which installation the Jobs of a service's documents belong to: one mark in its document store.

Two installations on one store would both launch a Job for every run, and each would take the other's for its own.
"""

from __future__ import annotations

import contextlib

from services.common.documents.port import Document, Documents
from services.common.errors import AlreadyExists, Conflict, NotReady

COLLECTION = "installations"
JOBS = "jobs"


async def claim(documents: Documents, installation: str, take_over: str = "") -> None:
    """Mark the documents as those of an installation, unless they are another's. Repeating it changes nothing.

    Args:
        documents: the service's own.
        installation: namespace/release.
        take_over: another installation, which works on them no more: its mark is replaced. "" for none.

    Raises:
        NotReady: they are another installation's (CONFIGURATION).
    """
    marks = documents.collection(COLLECTION)
    doc: Document = {"_id": JOBS, "owner": installation}
    while True:
        mark = await marks.get(JOBS)
        if mark is not None and mark["owner"] == installation:
            return
        if mark is not None and mark["owner"] != take_over:
            raise _taken(mark["owner"], installation)
        # Whoever is faster decides: then the mark is read again.
        with contextlib.suppress(AlreadyExists, Conflict):
            await (marks.insert(doc) if mark is None else marks.replace({**doc, "revision": mark["revision"]}))


def _taken(owner: str, installation: str) -> NotReady:
    return NotReady(
        f"The document store belongs to the installation {owner}, and this one is {installation}: both would launch "
        "a Job for every run. Give this one a database server, a bucket and a NATS of its own. If the other is no "
        f"more, as after a restore, set FTF_TAKE_OVER to {owner}.",
        reason="CONFIGURATION",
        metadata={"installation": owner},
    )
