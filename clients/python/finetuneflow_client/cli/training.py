"""Runs: start, follow, stop, show."""

from __future__ import annotations

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2
from finetuneflow.export.v1 import export_service_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import during, flow, targets, wording
from finetuneflow_client.cli.drying import asked_settings, is_told, show_check, tell_warnings
from finetuneflow_client.cli.judge import judged_after
from finetuneflow_client.cli.planning import planned
from finetuneflow_client.cli.resumable import PAUSED
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import asked, described, training_config
from finetuneflow_client.cli.view.evaluation import evaluation_tables, forgetting_line, left_out_line
from finetuneflow_client.cli.view.expected import HEAD, expected_rows
from finetuneflow_client.cli.view.judge import win_rate_line
from finetuneflow_client.errors import FtfError, from_work
from finetuneflow_client.planning import Plan


async def train(session: Session) -> int | None:
    """Start a run with the user's settings and the recommended ones; with --watch follow it to its end."""
    args = session.args
    if args.schema:
        remedy = "settings are flags, see `ftf train --help`"
        raise FtfError(f"{args.schema} is not a word of `ftf train`", remedy, code="INVALID_ARGUMENT")
    if args.judge_llm and not args.watch:
        remedy = "add --watch, or run `ftf judge` afterwards"
        raise FtfError("--judge-llm judges at the run's end", remedy, code="INVALID_ARGUMENT")
    dataset = await targets.frozen_dataset(session, args.dataset)
    version = args.dataset_version
    if args.only_approved and not version and not args.dry_run:  # a dry run makes no version: it looks at the newest
        version = (await flow.freeze(session, dataset, approved_only=True)).versions[-1].version
    found = await planned(
        session,
        await targets.model(session, args.model),
        dataset,
        version,
        training_config(args),
        recommended=not args.no_recommended,
        tolerant=args.dry_run,
    )
    run = found.run
    run.only_approved, run.priority = args.only_approved, args.priority
    run.price_per_hour = args.price_per_hour
    if args.resume_from_checkpoint:
        run.resume_from_checkpoint = await targets.checkpoint(session, args.resume_from_checkpoint)
    run.resume_weights_only = args.resume_weights_only
    request = training_service_pb2.CreateRunRequest(parent=names.parent(dataset), run=run, run_id=args.id)
    return await start(session, request, args.judge_llm, found)


async def start(
    session: Session,
    request: training_service_pb2.CreateRunRequest,
    judge_llm: str = "",
    found: Plan | None = None,
) -> int | None:
    """Start a run, or with --dry-run only check it; with --watch follow it to its end, and have it judged if wanted.

    Args:
        found: shown once the run is not refused, so that a refusal stands alone.
    """
    args = session.args
    request.validate_only, request.preview_examples = args.dry_run, args.preview
    made = await session.flow.training.CreateRun(request)
    if found is not None and not is_told(found.unadvised, made.check):
        flow.tell_advice(session, found)
    if args.dry_run:
        show_run(session, made, settings=asked_settings(made, request.run.config), started=False)
        return show_check(session, made)
    tell_warnings(session, made)
    if args.watch:
        session.screen.say(f"started {made.name}")
        made = await flow.follow_run(session, made.name)
        if judge_llm:
            await judged_after(session, made, judge_llm)
    if args.watch or session.output.as_json:
        show_run(session, made)
    else:
        session.output.line(made.name)
    return None


async def watch(session: Session) -> None:
    """Follow a run, dataset or export to its end."""
    name = await targets.work(session, session.args.name)
    kind = names.kind(name)
    if kind == "runs":
        show_run(session, await flow.follow_run(session, name))
    elif kind == "datasets":
        dataset = await flow.follow_dataset(session, name)
        session.output.message(dataset) if session.output.as_json else session.output.line(name)
    elif kind == "exports":
        export = await flow.follow_export(session, name)
        session.output.message(export) if session.output.as_json else session.output.line(name)
    else:
        raise _unknown(name)


async def cancel(session: Session) -> None:
    """Stop a run, or other work."""
    name = await targets.work(session, session.args.name)
    kind = names.kind(name)
    if kind == "runs":
        ended = (await session.flow.training.CancelRun(training_service_pb2.CancelRunRequest(name=name))).work
    elif kind == "datasets":
        ended = (await session.flow.dataset.CancelDataset(dataset_service_pb2.CancelDatasetRequest(name=name))).work
    elif kind == "exports":
        ended = (await session.flow.export.CancelExport(export_service_pb2.CancelExportRequest(name=name))).work
    elif kind == "files":
        ended = (await session.flow.ingest.CancelFile(ingest_service_pb2.CancelFileRequest(name=name))).work
    else:
        raise _unknown(name)
    if session.output.as_json:
        session.output.message(ended)
    else:
        session.output.line(f"{name}: {wording.state(ended)}")


async def pause(session: Session) -> None:
    """Free what a run holds, or ask an LLM no more, and keep everything made."""
    name = await targets.work(session, session.args.name)
    if names.kind(name) == "runs":
        held = (await session.flow.training.PauseRun(training_service_pb2.PauseRunRequest(name=name))).work
    elif names.kind(name) == "datasets":
        held = (await session.flow.dataset.PauseDataset(dataset_service_pb2.PauseDatasetRequest(name=name))).work
    else:
        raise _never_pauses(name)
    if session.output.as_json:
        session.output.message(held)
    else:
        session.output.line(held_line(name, held, f"ftf resume {_short(name)}"))


def held_line(name: str, work: work_pb2.Work, command: str) -> str:
    """Return what became of work that was to pause, and the command that goes on with it."""
    rest = f"go on with `{command}`" if work.state in PAUSED else "there is nothing to pause"
    return f"{name}: {wording.state(work)}; {rest}"


async def resume(session: Session) -> None:
    """Go on with paused work; with --watch follow it to its end."""
    name = await targets.work(session, session.args.name)
    if names.kind(name) == "runs":
        work = (await session.flow.training.ResumeRun(training_service_pb2.ResumeRunRequest(name=name))).work
    elif names.kind(name) == "datasets":
        work = (await session.flow.dataset.ResumeDataset(dataset_service_pb2.ResumeDatasetRequest(name=name))).work
    else:
        raise _never_pauses(name)
    if session.args.watch:
        await watch(session)
    elif session.output.as_json:
        session.output.message(work)
    else:
        session.output.line(f"{name}: {wording.state(work)}")


def _short(name: str) -> str:
    """Return how a command names work of the project: a run by its id, else "datasets/d"."""
    return names.short(name) if names.kind(name) == "runs" else "/".join(name.split("/")[-2:])


def _never_pauses(name: str) -> FtfError:
    return FtfError(f"{name} cannot pause", "name a run's id or datasets/ID", code="INVALID_ARGUMENT")


def show_run(session: Session, run: run_pb2.Run, *, settings: str = "", started: bool = True) -> None:
    """Write a run: its facts, its evaluation, its artifacts.

    Args:
        settings: what to show as them; empty: those of the run.
        started: whether there is such a run; else it was only checked.
    """
    if session.output.as_json:
        session.output.message(run)
        return
    result = run.result
    session.output.facts(
        {
            "run": run.name if started else "none: this is a dry run, nothing was started",
            "state": f"{wording.state(run.work)} {wording.progress(run.work)}".strip() if started else "",
            "waiting": wording.waiting(run.work),
            "priority": run.priority or "",
            "error": during.way_on(run, from_work(run.work, names.short(run.name))) or "",
            "model": f"{run.model} at {run.model_revision[:12]}",
            "dataset": f"{run.dataset}, version {run.dataset_version}, sha256 {run.dataset_sha256[:12]}…"
            + (", approved examples only" if run.only_approved else ""),
            "begins from": during.begins_from(run),
            "settings": settings or ", ".join(f"{name} {value}" for name, value in described(run.config)),
            "resources": asked(run.resources),
            "attempts": len(run.attempts) if len(run.attempts) > 1 else "",
            **during.facts(run),
            "forgetting": forgetting_line(result.evaluation),
            "not asked": left_out_line(result.evaluation),
            "judged": f"tuned better in {line}" if (line := win_rate_line(run.judgement.all)) else "",
        }
    )
    if run.HasField("estimate"):
        session.output.line()
        # Of a dry run nothing will be measured.
        columns = len(HEAD) if started else -1
        session.output.table(HEAD[:columns], [row[:columns] for row in expected_rows(run)])
        session.output.line(run.estimate.note)
    if result.HasField("evaluation"):
        session.output.line()
        for table in evaluation_tables(result.evaluation):
            session.output.render(table)
    if run.artifacts:
        session.output.line()
        session.output.table(("ARTIFACT", "SIZE", "SHA256"), [wording.artifact(a) for a in run.artifacts])


def _unknown(name: str) -> FtfError:
    remedy = "name a run's id, datasets/ID, exports/ID or files/ID"
    return FtfError(f"{name} is no work", remedy, code="INVALID_ARGUMENT")
