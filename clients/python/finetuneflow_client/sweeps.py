"""Sweeps: a run for each combination of settings, under one name; all are checked before the first starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from finetuneflow.common.v1 import reasons_pb2
from finetuneflow.training.v1 import check_pb2, run_pb2, training_service_pb2
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow_client.client import Services

LABEL = "sweep"
"""Label that the runs of a sweep bear, with its name."""
_MOST_RUNS = 64
_CODES = {reasons_pb2.REASON_INVALID_FIELD: "INVALID_ARGUMENT", reasons_pb2.REASON_NOT_FOUND: "NOT_FOUND"}


def few(combinations: int) -> None:
    """Refuse more runs than go into a sweep. Raises FtfError INVALID_ARGUMENT."""
    if combinations > _MOST_RUNS:
        remedy = f"at most {_MOST_RUNS} go into a sweep: vary less at once"
        raise FtfError(f"these are {combinations} runs", remedy, code="INVALID_ARGUMENT")


def request(parent: str, sweep: str, number: int, run: run_pb2.Run) -> training_service_pb2.CreateRunRequest:
    """Return what asks for one run of a sweep."""
    run.meta.labels[LABEL] = sweep
    return training_service_pb2.CreateRunRequest(parent=parent, run=run, run_id=f"{sweep}-{number}", preview_examples=0)


async def start(
    flow: Services, requests: Sequence[training_service_pb2.CreateRunRequest], *, dry_run: bool = False
) -> list[run_pb2.Run]:
    """Check every run, and only then start them; return them as they were made, or with `dry_run` as they would be.

    Raises:
        FtfError: what forbids the first that would be refused; none is started then.
    """
    for one in requests:
        one.validate_only = True
        if error := refusal(await flow.training.CreateRun(one)):
            what = f"{one.run_id}: {error.message}"
            raise FtfError(what, error.remedy, code=error.code, reason=error.reason, metadata=error.metadata)
        one.validate_only = False
    return [one.run if dry_run else await flow.training.CreateRun(one) for one in requests]


def refusal(run: run_pb2.Run) -> FtfError | None:
    """Return the first problem that forbids a run as an error, with how many there are; None if nothing does."""
    refused = [p for p in run.check.problems if p.severity == check_pb2.Problem.SEVERITY_REFUSE]
    if not refused:
        return None
    first, more = refused[0], f" (and {len(refused) - 1} more)" if refused[1:] else ""
    return FtfError(
        f"{first.message.rstrip('.')}{more}",
        first.remedy.rstrip("."),
        code=_CODES.get(first.reason, "FAILED_PRECONDITION"),
        reason=reasons_pb2.Reason.Name(first.reason).removeprefix("REASON_"),
    )
