"""`ftf run`: documents in, weights out, in one command that goes on where it was when it is repeated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.export.v1 import export_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2, model_pb2
from finetuneflow.ingest.v1 import file_pb2, project_pb2
from finetuneflow.training.v1 import config_pb2, run_pb2
from finetuneflow_client import making, names
from finetuneflow_client.cli import flow, resumable, targets
from finetuneflow_client.cli.export import artifact_rows
from finetuneflow_client.cli.grammar.settings import RUN_CHUNK, RUN_DATASET
from finetuneflow_client.cli.llm import api_key
from finetuneflow_client.cli.output import to_json
from finetuneflow_client.cli.planning import planned
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import chunk_settings, dataset_spec, run_resources, training_config
from finetuneflow_client.cli.training import show_run
from finetuneflow_client.cli.view.files import failure
from finetuneflow_client.downloads import download_dataset
from finetuneflow_client.errors import FtfError
from finetuneflow_client.picking import Picked, pick
from finetuneflow_client.uploads import measure

_FORMATS, _FORMATS_OF_FULL = ("adapter", "merged"), ("merged",)
"""What is exported when nothing else is asked for; a run that trained every weight has no adapter."""


async def run(session: Session) -> None:
    """Do every step; each is found again by the ids of resumable."""
    args = session.args
    _check_formats(args.format or (), training_config(args))
    take_chunk_tokens(session)
    picked = pick(args.paths)
    llm = await _llm(session)
    model = await _model(session)
    project = await _project(session, picked.documents)
    folder = Path(args.output or names.short(project))
    files = await _files(session, project, picked)
    settings = chunk_settings(args, model.name, RUN_CHUNK)
    cut = await flow.chunk(session, project, settings, [file.name for file in files])
    dataset = await _dataset(session, project, cut, settings, llm)
    trained = await _train(session, model, dataset)
    await download_dataset(session.flow, dataset.name, dataset.versions[-1], folder / "dataset.jsonl")
    report = await flow.download_report(session, trained, folder / "report")
    formats = args.format or (_FORMATS_OF_FULL if _is_full(trained.config) else _FORMATS)
    exports = [await _export(session, trained, chosen, folder) for chosen in formats]
    _summary(session, folder, dataset, trained, exports, report)


def take_chunk_tokens(session: Session) -> None:
    """Take the flag of `ftf chunk` as what is meant by it there, and say so: `ftf dataset generate` has it, too."""
    args = session.args
    if (most := getattr(args, "max_tokens", None)) is None:
        return
    if args.chunk_tokens is not None:
        raise FtfError("--max-tokens and --chunk-tokens are the same here", "give one", code="INVALID_ARGUMENT")
    args.chunk_tokens = most
    session.screen.say(f"--max-tokens {most} is taken as --chunk-tokens; that of a reply is --reply-tokens")


def _is_full(config: config_pb2.TrainingConfig) -> bool:
    return config.method == config_pb2.METHOD_FULL


def _check_formats(formats: Sequence[str], config: config_pb2.TrainingConfig) -> None:
    """Refuse what could not be exported after hours of training. Raises FtfError INVALID_ARGUMENT."""
    if _is_full(config) and "adapter" in formats:
        message = "a run of the method full trains every weight, so it has no adapter"
        raise FtfError(message, "choose --format merged, or another method", code="INVALID_ARGUMENT")


async def _llm(session: Session) -> str:
    """Return the LLM endpoint's name; empty for the only one that the server knows."""
    args = session.args
    if bool(args.llm_url) != bool(args.llm_model):
        raise FtfError("--llm-url and --llm-model belong together", "give both", code="INVALID_ARGUMENT")
    if args.llm_url:
        return (await making.llm_endpoint(session.flow, args.llm_url, args.llm_model, api_key(""))).name
    return names.full("llmEndpoints", args.llm) if args.llm else ""


async def _model(session: Session) -> model_pb2.Model:
    name = await targets.model(session, session.args.model)
    return await session.flow.hardware.GetModel(hardware_service_pb2.GetModelRequest(name=name))


async def _project(session: Session, paths: Sequence[Path]) -> str:
    """Return the project: the one that the user names, else one that these documents always lead to."""
    chosen = session.args.project or os.environ.get("FTF_PROJECT", "")
    id = names.short(chosen) or names.derived("docs", *sorted(f"{path.name} {measure(path)[1]}" for path in paths))
    others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    wanted = project_pb2.Project(display_name=chosen or f"{paths[0].name}{others}")
    name = (await making.project(session.flow, id, wanted)).name
    session.use_project(name)
    session.screen.say(f"project {names.short(name)}")
    return name


async def _files(session: Session, project: str, picked: Picked) -> list[file_pb2.File]:
    """Upload and read; documents that fail are named and left out."""
    files, refused = await flow.upload(session, project, picked)
    for error in refused:
        session.screen.warn(f"left out: {error}")
    good = [file for file in await flow.read(session, files) if not failure(file)]
    if not good:
        raise refused[0] if refused else FtfError("no document could be read", "see above", code="INVALID_ARGUMENT")
    return good


async def _dataset(
    session: Session, project: str, files: Sequence[file_pb2.File], settings: file_pb2.ChunkSettings, llm: str
) -> dataset_pb2.Dataset:
    """Generate, or find what was generated from the same documents, cut in the same way, by the same LLM."""
    spec = dataset_spec(session.args, sorted(file.name for file in files), llm, RUN_DATASET)
    if spec.inherit_reviews_from:
        spec.inherit_reviews_from = await targets.dataset(session, spec.inherit_reviews_from)
    name = await resumable.dataset(session, project, spec, settings.SerializeToString(deterministic=True).hex())
    await flow.follow_dataset(session, name)
    return await flow.freeze(session, name)


async def _train(session: Session, model: model_pb2.Model, dataset: dataset_pb2.Dataset) -> run_pb2.Run:
    """Train, or find what was trained on the same examples with the same settings of the user's."""
    config = training_config(session.args)
    version = dataset.versions[-1]
    resources = run_resources(session.args)
    asked = (config.SerializeToString(deterministic=True) + resources.SerializeToString(deterministic=True)).hex()
    id = names.derived("r", dataset.name, version.artifact.sha256, model.name, model.revision, asked)

    async def make() -> run_pb2.Run:
        found = await planned(session, model.name, dataset.name, version.version, config)
        flow.tell_advice(session, found)
        return found.run

    return await flow.follow_run(session, await resumable.run(session, names.parent(dataset.name), id, make))


async def _export(session: Session, run: run_pb2.Run, chosen: str, folder: Path) -> export_pb2.Export:
    format = export_pb2.Format.Value(f"FORMAT_{chosen.upper()}")
    name = await resumable.export(session, run.name, format, session.args.accept_forgetting)
    export = await flow.follow_export(session, name)
    await flow.download_export(session, export, folder / chosen)
    return export


def _summary(
    session: Session,
    folder: Path,
    dataset: dataset_pb2.Dataset,
    run: run_pb2.Run,
    exports: Sequence[export_pb2.Export],
    report: Sequence[Path],
) -> None:
    """Write what came of it, and where it is."""
    if session.output.as_json:
        session.output.json(
            {
                "folder": str(folder),
                "dataset": to_json(dataset),
                "run": to_json(run),
                "exports": [to_json(export) for export in exports],
            }
        )
        return
    show_run(session, run)
    session.output.line()
    rows = [
        row
        for export in exports
        for row in artifact_rows(export, folder / export_pb2.Format.Name(export.format)[7:].lower())
    ]
    session.output.table(("FILE", "SIZE", "SHA256"), rows)
    session.output.line()
    session.output.line(f"dataset  {folder / 'dataset.jsonl'}")
    if report:
        page = next((f", for a browser {path.name}" for path in report if path.suffix == ".html"), "")
        session.output.line(f"report   {report[0]}{page}")
