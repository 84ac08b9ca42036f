"""A run's report: printed, saved with its plots, or as one web page."""

from __future__ import annotations

import asyncio
import tempfile
import webbrowser
from pathlib import Path

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client.cli import flow, targets, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.downloads import keep_others, save_run_artifact
from finetuneflow_client.errors import FtfError

_PAGE = "report.html"


async def report(session: Session) -> None:
    """Print a run's report, save it with its plots, or save or open it as one web page."""
    args = session.args
    if args.html and args.output:
        raise FtfError("--html saves the page alone", "give --html or -o", code="INVALID_ARGUMENT")
    name = await targets.finished_run(session, args.run)
    run = await session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name))
    if not any(artifact.filename == "report.md" for artifact in run.artifacts):
        state = wording.state(run.work)
        raise FtfError(f"{name} is {state} and has no report", "wait with `ftf watch`", code="FAILED_PRECONDITION")
    if args.html or args.open:
        await _page(session, run)
    elif args.output:
        keep_others(Path(args.output), flow.report_files(run))
        session.output.saved([str(path) for path in await flow.download_report(session, run, Path(args.output))])
    else:
        with tempfile.TemporaryDirectory() as folder:
            printed = (await flow.download_report(session, run, Path(folder)))[0]
            text = printed.read_text(encoding="utf-8")
        if session.output.as_json:
            session.output.json({"run": run.name, "report": text})
        else:
            session.output.raw(text)


async def _page(session: Session, run: run_pb2.Run) -> None:
    """Save the web page where --html says, else where --output does, else in a folder of its own; open it if asked."""
    args = session.args
    artifact = _artifact(run)
    path = Path(args.html) if args.html else Path(args.output or tempfile.mkdtemp(prefix="ftf-report-")) / _PAGE
    keep_others(path.parent, [artifact_pb2.Artifact(filename=path.name, sha256=artifact.sha256)])
    await save_run_artifact(session.flow, run.name, artifact, path)
    session.output.saved([str(path)])
    if args.open and not await asyncio.to_thread(webbrowser.open, path.absolute().as_uri()):
        session.screen.warn(f"no browser could be started; open {path}")


def _artifact(run: run_pb2.Run) -> artifact_pb2.Artifact:
    for artifact in run.artifacts:
        if artifact.filename == _PAGE:
            return artifact
    remedy = "read it without --html and --open, or train again"
    raise FtfError(f"the report of {run.name} is from before there were web pages", remedy, code="FAILED_PRECONDITION")
