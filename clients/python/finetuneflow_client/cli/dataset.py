"""Datasets."""

from __future__ import annotations

import asyncio
from pathlib import Path

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import dependents, flow, targets, transfer, wording
from finetuneflow_client.cli.resumable import STOPPED
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import dataset_spec
from finetuneflow_client.cli.training import held_line
from finetuneflow_client.cli.view.dataset import accepted, all_drops, example_panel
from finetuneflow_client.cli.view.datasetfacts import show_dataset
from finetuneflow_client.cli.view.estimate import estimate_basis, estimate_rows
from finetuneflow_client.cli.view.files import TransferView
from finetuneflow_client.downloads import download_dataset
from finetuneflow_client.errors import FtfError
from finetuneflow_client.planning import unfrozen

_COLUMNS = ("DATASET", "STATE", "PROGRESS", "ACCEPTED", "DROPPED", "VERSION", "TRAIN", "HELD OUT", "RECALL", "AGE")


async def preview(session: Session, quiet_seconds: float = 1) -> None:
    """Make a few examples and show them, dropped ones too; after quiet_seconds say what is waited for."""
    request = dataset_service_pb2.PreviewExamplesRequest(
        parent=await session.project(), spec=await _spec(session), calls=session.args.calls
    )
    # What is refused at once is not asked.
    slow = asyncio.get_running_loop().call_later(quiet_seconds, session.screen.say, "asking the LLM …")
    try:
        found = await session.flow.dataset.PreviewExamples(request, timeout=1800)
    finally:
        slow.cancel()
    if session.output.as_json:
        session.output.message(found)
        return
    for example in found.examples:
        session.output.render(example_panel(example))
    good = sum(example.accepted for example in found.examples)
    usage = f"{wording.many(found.usage.calls, 'call')}, {wording.many(found.usage.completion_tokens, 'reply token')}"
    session.screen.say(
        f"{good} of {wording.many(len(found.examples), 'example')} accepted; {usage}, "
        f"{wording.duration(found.usage.seconds)}"
    )


async def generate(session: Session) -> None:
    """Write examples, and when that has ended, freeze them."""
    args = session.args
    request = dataset_service_pb2.CreateDatasetRequest(
        parent=await session.project(),
        dataset=dataset_pb2.Dataset(display_name=args.id, spec=await _spec(session)),
        dataset_id=args.id,
        validate_only=args.dry_run,
    )
    try:
        made = await session.flow.dataset.CreateDataset(request)
    except FtfError as error:
        raise await _there_already(session, f"{request.parent}/datasets/{args.id}", error) from error
    if not args.dry_run:
        await _finished(session, made)
    elif session.output.as_json:
        session.output.message(made)
    elif made.kind == dataset_pb2.DATASET_KIND_TEXT:
        session.output.line(f"{wording.many(len(made.spec.files), 'file')}; no LLM is asked, so it costs nothing")
    else:
        session.output.table(("", "EXPECTED"), [row[:2] for row in estimate_rows(made)])
        session.screen.say(estimate_basis(made))


async def pause(session: Session) -> None:
    """Let nothing more be asked of the LLM, and keep everything made."""
    name = await targets.dataset(session, session.args.dataset)
    paused = await session.flow.dataset.PauseDataset(dataset_service_pb2.PauseDatasetRequest(name=name))
    if session.output.as_json:
        session.output.message(paused)
    else:
        session.output.line(held_line(name, paused.work, "ftf dataset resume"))


async def resume(session: Session) -> None:
    """Go on generating after a pause or a failure."""
    name = await targets.dataset(session, session.args.dataset, failed_too=True)
    request = dataset_service_pb2.ResumeDatasetRequest(name=name)
    await _finished(session, await session.flow.dataset.ResumeDataset(request))


async def list_datasets(session: Session) -> None:
    """List the project's datasets."""
    found = [dataset async for dataset in session.flow.datasets(await session.project())]
    session.output.listing("datasets", found, _COLUMNS, [_row(dataset) for dataset in found])


async def show(session: Session) -> None:
    """Show a dataset: its balance from chunks to examples, and its versions."""
    name = await targets.dataset(session, session.args.dataset, failed_too=True)
    show_dataset(
        session.output, await session.flow.dataset.GetDataset(dataset_service_pb2.GetDatasetRequest(name=name))
    )


async def freeze(session: Session) -> None:
    """Make a version of the examples as they are."""
    name = await targets.dataset(session, session.args.dataset)
    show_dataset(session.output, await flow.freeze(session, name, approved_only=session.args.approved_only))


async def cancel(session: Session) -> None:
    """Stop generating."""
    name = await targets.dataset(session, session.args.dataset)
    found = await session.flow.dataset.CancelDataset(dataset_service_pb2.CancelDatasetRequest(name=name))
    if found.work.end_time.seconds and found.work.state != work_pb2.WORK_STATE_CANCELLED:
        session.screen.say(f"{name}: {wording.state(found.work)}; there is nothing to cancel")
    show_dataset(session.output, found)


async def delete(session: Session) -> None:
    """Delete a dataset, once that is confirmed where runs depend on it."""
    name = await targets.dataset(session, session.args.dataset)
    await dependents.confirm(session, dependents.of_dataset, name, f"ftf dataset delete {names.short(name)}")
    await session.flow.dataset.DeleteDataset(dataset_service_pb2.DeleteDatasetRequest(name=name))
    session.deleted(name)


async def download(session: Session) -> None:
    """Fetch a frozen version: its own JSON Lines, or the form of another program."""
    args = session.args
    name = await targets.dataset(session, args.dataset)
    if transfer.wants_export(session):
        await transfer.download(session, name)
        return
    dataset = await session.flow.dataset.GetDataset(dataset_service_pb2.GetDatasetRequest(name=name))
    version = next((v for v in reversed(dataset.versions) if args.version in (0, v.version)), None)
    if version is None:
        wanted = f"no version {args.version}" if args.version else "no frozen version"
        remedy = "see which there are with `ftf dataset show`" if dataset.versions else unfrozen(dataset)
        raise FtfError(f"{name} has {wanted}", remedy, code="FAILED_PRECONDITION")
    path = Path(args.output or f"{names.short(name)}-{version.version}.jsonl")
    view = TransferView("download", version.artifact.size_bytes)
    view.begin(path.name)
    with session.screen.showing(view):
        await download_dataset(session.flow, name, version, path, view.update)
    if session.output.as_json:
        session.output.message(version)
    else:
        session.output.line(f"{path}  {wording.size(version.artifact.size_bytes)}  {version.artifact.sha256}")


async def _spec(session: Session) -> dataset_pb2.DatasetSpec:
    args = session.args
    llm = names.full("llmEndpoints", args.llm) if args.llm else ""
    spec = dataset_spec(args, await targets.files(session, args.files), llm)
    if spec.inherit_reviews_from:
        spec.inherit_reviews_from = await targets.dataset(session, spec.inherit_reviews_from)
    return spec


async def _there_already(session: Session, name: str, error: FtfError) -> FtfError:
    """Return the error of an id that is taken, with what can be done with what has it; any other error as it is."""
    if error.code != "ALREADY_EXISTS":
        return error
    try:
        found = await session.flow.dataset.GetDataset(dataset_service_pb2.GetDatasetRequest(name=name))
    except FtfError:
        return error
    short, state = names.short(name), wording.state(found.work)
    if found.HasField("imported"):
        way = f"see `ftf dataset show {short}`"
    elif found.work.state in STOPPED:
        way = f"go on with `ftf dataset resume {short}`"
    elif found.work.state == work_pb2.WORK_STATE_SUCCEEDED:
        way = f"see `ftf dataset show {short}`"
    else:
        way = f"follow it with `ftf watch datasets/{short}`"
    return FtfError(
        f"{name} exists already, {state}", f"{way}, or choose another id", code=error.code, reason=error.reason
    )


async def _finished(session: Session, dataset: dataset_pb2.Dataset) -> None:
    """Follow a dataset to its end and freeze it, unless the user does not want to wait."""
    if not session.args.no_watch:
        await flow.follow_dataset(session, dataset.name)
        dataset = await flow.freeze(session, dataset.name)
    elif not session.output.as_json:
        session.output.line(dataset.name)
        return
    show_dataset(session.output, dataset)


def _sides(version: dataset_pb2.DatasetVersion | None) -> tuple[str, ...]:
    """Return a version's number and how many rows stand on each side, as there are now."""
    if version is None or version.erased:
        return (f"{version.version} erased" if version else "", "", "", "")
    return tuple(map(str, (version.version, version.train_examples, version.eval_examples, version.recall_examples)))


def _row(dataset: dataset_pb2.Dataset) -> tuple[str, ...]:
    version = dataset.versions[-1] if dataset.versions else None
    return (
        names.short(dataset.name),
        wording.state(dataset.work),
        wording.progress(dataset.work),
        f"{accepted(dataset):,}",
        f"{sum(count for _, count in all_drops(dataset)):,}",
        *_sides(version),
        wording.age(dataset.meta.create_time),
    )
