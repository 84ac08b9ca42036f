"""Which installation the Jobs of a service's documents belong to: one mark in its document store.

Two installations on one store would both launch a Job for every run, and each would take the other's for its own.
"""

from __future__ import annotations

import contextlib
import logging

from services.common.documents.port import Document, Documents
from services.common.errors import AlreadyExists, Conflict, NotReady

log = logging.getLogger(__name__)
COLLECTION = "installations"
JOBS = "jobs"


async def claim(documents: Documents, installation: str, take_over: str = "") -> None:
    """Mark the documents as those of an installation, unless they are another's. Repeating it changes nothing.

    Args:
        documents: the service's own.
        installation: namespace/release.
        take_over: another installation, which works on them no more: its mark is replaced, once. "" for none.

    Raises:
        NotReady: they are another installation's, or were taken over from it before (CONFIGURATION).
    """
    marks = documents.collection(COLLECTION)
    while (mark := await marks.get(JOBS)) is None or mark["owner"] != installation:
        doc: Document = {"_id": JOBS, "owner": installation, "taken_over": _takings(mark, installation, take_over)}
        # Whoever is faster decides: then the mark is read again.
        with contextlib.suppress(AlreadyExists, Conflict):
            if mark is None:
                await marks.insert(doc)
            else:
                await marks.replace({**doc, "revision": mark["revision"]})
                log.warning(
                    "The document store was taken over from the installation %s. Take FTF_TAKE_OVER out once training "
                    "and export have started.",
                    take_over,
                )
                return
    if take_over:
        log.warning(
            "FTF_TAKE_OVER=%s is set without need, for the document store is this installation's (%s). Take it out: "
            "with another store it might take over from one that runs.",
            take_over,
            installation,
        )


def _takings(mark: Document | None, installation: str, take_over: str) -> list[dict[str, str]]:
    """Return who took over from whom, this time among them. Raises NotReady where it may not be."""
    if mark is None:
        return []
    if mark["owner"] != take_over:
        raise _taken(mark["owner"], installation)
    before = mark.get("taken_over", [])
    taking = {"owner": take_over, "by": installation}
    if taking in before:
        raise NotReady(
            f"The document store belongs to the installation {take_over}, which took it back after this one, "
            f"{installation}, had taken it over: FTF_TAKE_OVER seems to have stayed. Take it out, and give this one a "
            "database server, a bucket and a NATS of its own. If the other is no more by now, docs/operations.md says "
            "how to take over again.",
            reason="CONFIGURATION",
            metadata={"installation": take_over},
        )
    return [*before, taking]


def _taken(owner: str, installation: str) -> NotReady:
    return NotReady(
        f"The document store belongs to the installation {owner}, and this one is {installation}: both would launch "
        "a Job for every run. Give this one a database server, a bucket and a NATS of its own. If the other is no "
        f"more, as after a restore, set FTF_TAKE_OVER to {owner} until training and export have started.",
        reason="CONFIGURATION",
        metadata={"installation": owner},
    )
