"""Sweeps: a run for each combination of settings, or of a list, under one name; all are checked before one starts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetuneflow.common.v1 import reasons_pb2
from finetuneflow.training.v1 import check_pb2, run_pb2, training_service_pb2
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow_client.client import Services

LABEL = "sweep"
"""Label that the runs of a sweep bear, with its name."""
_MOST_RUNS = 64
_CODES = {reasons_pb2.REASON_INVALID_FIELD: "INVALID_ARGUMENT", reasons_pb2.REASON_NOT_FOUND: "NOT_FOUND"}


def few(runs: int) -> None:
    """Refuse more runs than go into a sweep, and none. Raises FtfError INVALID_ARGUMENT."""
    if not 1 <= runs <= _MOST_RUNS:
        raise FtfError(f"these are {runs} runs", f"1 to {_MOST_RUNS} go into a sweep", code="INVALID_ARGUMENT")


def each(
    vary: Mapping[str, Sequence[Any]] | None, overrides: Sequence[Mapping[str, Any]] | None
) -> list[Mapping[str, Any]]:
    """Return what each run changes: every combination of `vary`, the last varying fastest, or `overrides` as they are.

    Raises:
        FtfError: INVALID_ARGUMENT for both or neither, and for none or more than 64.
    """
    if (vary is None) == (overrides is None):
        what = "a sweep needs one of vary and overrides"
        raise FtfError(what, 'give overrides=[{"learning_rate": 2e-4, "lora.r": 8}, …]', code="INVALID_ARGUMENT")
    found: list[Mapping[str, Any]] = list(overrides or [])
    if vary is not None:
        found = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    few(len(found))
    return found


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
