"""`ftf runs`: list, show and delete. What only one of these needs is imported when it is needed: a list is instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuneflow.export.v1 import export_service_pb2
from finetuneflow.training.v1 import training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import exits, targets, wording
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow.training.v1 import run_pb2
    from finetuneflow_client.cli.session import Session

_COLUMNS = ("RUN", "STATE", "PROGRESS", "LOSS", "MODEL", "DATASET", "TOOK", "AGE", "WAITING")


async def runs(session: Session) -> int | None:
    """List the project's runs, show one, or delete one; or list what has no run or no Job."""
    args = session.args
    if args.delete and args.run in ("", "orphans"):
        raise FtfError("--delete needs the run's id", "see `ftf runs`", code="INVALID_ARGUMENT")
    if args.run == "orphans":
        return await _orphans(session)
    if not args.run:
        found = [run async for run in session.flow.runs(await session.project())]
        session.output.listing("runs", found, _COLUMNS, [_row(run) for run in found])
        return None
    name = await targets.run(session, args.run)
    if args.delete:
        from finetuneflow_client.cli import dependents

        await dependents.confirm(session, dependents.of_run, name, f"ftf runs {names.short(name)} --delete")
        await session.flow.training.DeleteRun(training_service_pb2.DeleteRunRequest(name=name))
        session.deleted(name)
        return None
    from finetuneflow_client.cli.training import show_run

    show_run(session, await session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name)))
    return None


async def _orphans(session: Session) -> int:
    """List Jobs without a run or export, and those without their Job; the exit code says whether there are any."""
    runs = (await session.flow.training.ListOrphans(training_service_pb2.ListOrphansRequest())).orphans
    exports = (await session.flow.export.ListOrphans(export_service_pb2.ListOrphansRequest())).orphans
    found = [*runs, *exports]
    if found or session.output.as_json:
        rows = [(o.job, o.run, o.problem) for o in runs] + [(o.job, o.export, o.problem) for o in exports]
        session.output.listing("orphans", found, ("JOB", "OF", "PROBLEM"), rows)
    else:
        session.output.line("none")
    return exits.FAILED if found else exits.OK


def _row(run: run_pb2.Run) -> tuple[str, ...]:
    loss = run.result.train_loss or run.last_metrics.values.get("loss", 0.0)
    return (
        names.short(run.name),
        wording.state(run.work),
        wording.progress(run.work),
        f"{loss:.4f}" if loss else "",
        names.short(run.model),
        f"{names.short(run.dataset)}/{run.dataset_version}",
        wording.took(run.work),
        wording.age(run.meta.create_time),
        wording.waiting(run.work, run.priority),
    )
