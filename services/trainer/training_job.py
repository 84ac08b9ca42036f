"""A run from its spec to its result: load, check, train, evaluate, write the report, upload."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.training.v1 import config_pb2, run_pb2
from services.common.chat.encode import Encoded, Encoder, Mask, measure, require_supervision, require_whole
from services.common.chat.rows import TRAIN, Row, of_split, read_rows, require_objective
from services.common.errors import FineTuneFlowError, NotReady
from services.trainer.attempt import Attempt
from services.trainer.basemodel import fetch_base, location_of
from services.trainer.checkpoint import fetch_checkpoint
from services.trainer.general import general_rows
from services.trainer.machine import device, hardware, take_gpu, versions
from services.trainer.measuring import bytes_below, libraries_memory_bytes, peak_memory_bytes
from services.trainer.model import (
    Source,
    chat_of,
    check_files,
    dtype_for,
    load_model,
    load_quantised,
    load_tokenizer,
    local_folder,
    source_of,
)
from services.trainer.settings import all_settings, is_full, is_quantised, objective, require_packages, setting
from services.trainer.totals import read_totals
from services.trainer.transfer import fetch
from services.trainer.trials import held_out
from services.trainer.uploads import CheckpointUploads, NoUploads, upload_all

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A dataset as the model sees it."""

    rows: list[Row]
    encoder: Encoder
    train: list[Encoded]
    mask: Mask
    held_out: list[Encoded]


@dataclass(frozen=True)
class Loaded:
    """What a process has in memory before it trains.

    Args:
        libraries: bytes that the process took before it loaded the model; 0 where a GPU counts.
    """

    source: Source
    tokenizer: Any
    prepared: Prepared
    model: Any
    resume: Path | None
    best: Path | None
    libraries: int


def run_training(attempt: Attempt, spec: run_pb2.TrainSpec) -> tuple[run_pb2.RunResult, list[artifact_pb2.Artifact]]:
    """Do a run and return its result and its uploaded artifacts.

    Raises:
        Stopped, Terminated: see train.
        FineTuneFlowError: of the step that failed.
    """
    loaded, trained, comparison, scores = take_part(attempt, spec)
    attempt.team.let_go()
    prepared = loaded.prepared
    evaluation = comparison.evaluation(trained.tuned, scores)
    totals = trained.totals
    kind, name = device()
    result = run_pb2.RunResult(
        steps=totals.steps,
        train_loss=totals.last_tenth(),
        train_seconds=totals.train_seconds,
        trainable_parameters=trained.trainable_parameters,
        peak_memory_bytes=max(totals.peak_memory_bytes, peak_memory_bytes()),
        training_peak_memory_bytes=totals.peak_memory_bytes,
        evaluation_peak_memory_bytes=comparison.stretch.peak_memory_bytes(),
        libraries_memory_bytes=loaded.libraries,
        supervised_tokens=prepared.mask.supervised_tokens,
        tokens=prepared.mask.tokens,
        truncated_examples=prepared.mask.truncated,
        evaluation=evaluation,
        versions=versions(),
        platform_seconds=totals.platform_seconds,
        kept_step=trained.kept_step,
        stopped_early=trained.stopped_early,
        evaluations=totals.points(trained.kept_step),
        evaluation_seconds=comparison.stretch.seconds(),
        trained_tokens=round(totals.num_tokens),
        device=kind,
        device_name=name,
    )
    folder = attempt.folder / "artifacts"
    write_artifacts(folder, attempt, spec, loaded, trained, result, comparison.answered)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return result, upload_all(
        attempt.worker,
        folder,
        paths,
        attempt.patience,
        lambda done, total: attempt.phase("upload", done, total, "bytes"),
    )


def take_part(attempt: Attempt, spec: run_pb2.TrainSpec) -> tuple[Loaded, Any, Any, dict[str, list[Any]]]:
    """Do what every process of the training does: load, train, score a share; return what came of it.

    Raises:
        Elsewhere: another process failed; see Team.each.
    """
    from services.trainer.comparing import Comparison

    take_gpu(attempt.team.local)
    source = source_of(location_of(spec, attempt.folder), spec.model_revision, spec.model)
    fetched = attempt.team.on_node(lambda: _fetch(attempt, spec, source))
    loaded: list[Loaded] = []
    attempt.team.each(lambda: loaded.append(_load(attempt, spec, source, fetched)))
    trained = _train(attempt, spec, loaded[0])
    prepared = loaded[0].prepared
    comparison = Comparison(attempt, prepared.rows, prepared.encoder, loaded[0].tokenizer, spec.config)
    return loaded[0], trained, comparison, comparison.scores(trained.tuned)


def _fetch(attempt: Attempt, spec: run_pb2.TrainSpec, source: Source) -> list[str]:
    """Bring to this node what its processes read; return the paths of dataset, checkpoint and best one, or ""."""
    from services.trainer.tracking import require_trackers

    require_trackers(spec.config, os.environ)
    require_packages(spec.config)
    fetch_base(spec, attempt.folder, attempt.patience, attempt.renewal(lambda: attempt.renewed(spec)))
    check_files(source)

    def again() -> str:
        url: str = attempt.renewed(spec).dataset_url
        return url

    target = attempt.folder / "dataset.jsonl"
    fetch(spec.dataset_url, spec.dataset_sha256, target, attempt.patience, "Dataset", attempt.renewal(again))
    if attempt.checkpoint:
        log.info("Going on from the checkpoint of step %d.", attempt.checkpoint.step)
    found = {"resume": attempt.checkpoint, "best": attempt.best}
    return [
        str(target),
        *(str(fetch_checkpoint(attempt, one, attempt.folder / name)) if one else "" for name, one in found.items()),
    ]


def _load(attempt: Attempt, spec: run_pb2.TrainSpec, source: Source, fetched: Sequence[str]) -> Loaded:
    dataset, resume, best = (Path(path) if path else None for path in fetched)
    rows = read_rows(dataset) if dataset else []
    tokenizer = load_tokenizer(source)
    attempt.orders.check()
    prepared = prepare(attempt, spec, tokenizer, rows)
    attempt.orders.check()
    libraries = libraries_memory_bytes()
    model = base_model(source, spec.config)
    return Loaded(source, tokenizer, prepared, model, resume, best, libraries)


def base_model(source: Source, config: config_pb2.TrainingConfig) -> Any:
    """Load the base model. Weights that are trained are kept in float32: bfloat16 would swallow small changes."""
    dtype = dtype_for(setting(config, "bf16") and not is_full(config))
    return load_quantised(source, dtype) if is_quantised(config) else load_model(source, dtype)


def prepare(attempt: Attempt, spec: run_pb2.TrainSpec, tokenizer: Any, rows: list[Row]) -> Prepared:
    """Encode the training set and refuse it if it teaches nothing."""
    train = of_split(rows, TRAIN)
    attempt.phase("check", 0, len(train), "examples")
    if not train:
        raise NotReady("The dataset has no example to train on. Generate more.", reason="NO_ACCEPTED_EXAMPLES")
    require_objective(rows, objective(spec.config))
    seen = [*rows, *general_rows()]
    names = ("max_length", "assistant_only_loss", "completion_only_loss")
    encoder = Encoder(chat_of(tokenizer), seen, *(setting(spec.config, name) for name in names))
    encoded = encoder.encode_all(train)
    mask = measure(encoded)
    require_supervision(mask)
    require_whole(mask, setting(spec.config, "max_truncated"))
    log.info(
        "%d of %d training examples, %d supervised tokens of %d, %d examples truncated.",
        *(mask.kept, mask.examples, mask.supervised_tokens, mask.tokens, mask.truncated),
    )
    attempt.phase("check", len(train), len(train), "examples")
    return Prepared(rows, encoder, [e for e in encoded if e.supervised], mask, held_out(rows, encoder, spec.config))


def _train(attempt: Attempt, spec: run_pb2.TrainSpec, loaded: Loaded) -> Any:
    from services.trainer.tracking import tracking
    from services.trainer.train import Training, train

    uploads: CheckpointUploads = NoUploads()
    if attempt.team.leads:
        uploads = CheckpointUploads(attempt.worker, attempt.patience, attempt.reporter.stored)
    uploads.start()
    trackers = tracking(spec.config, attempt.folder / "artifacts" / "tensorboard", _losses(loaded, spec))
    try:
        training = Training(
            config=spec.config,
            folder=attempt.folder / "checkpoints",
            base_name=loaded.source.name,
            load_base=lambda: base_model(loaded.source, spec.config),
            weights_folder=lambda: local_folder(loaded.source),
            resume=loaded.resume,
            reporter=attempt.reporter,
            orders=attempt.orders,
            uploads=uploads,
            team=attempt.team,
            held_out=loaded.prepared.held_out,
            best=loaded.best,
            other=spec.begins_from_other,
            weights_only=spec.weights_only,
            callbacks=trackers,
        )
        trained = train(training, loaded.model, copy.deepcopy(loaded.tokenizer), loaded.prepared.train)
        uploads.wait()
        for events in trackers if attempt.team.leads else ():
            events.complete()
        return trained
    except FineTuneFlowError:
        # What was saved before it failed is what there is to go on from.
        uploads.wait()
        raise
    finally:
        uploads.close()


def _losses(loaded: Loaded, spec: run_pb2.TrainSpec) -> list[float]:
    """Return the losses of the steps before this attempt."""
    return read_totals(loaded.resume).losses if loaded.resume and not spec.weights_only else []


def write_artifacts(
    folder: Path,
    attempt: Attempt,
    spec: run_pb2.TrainSpec,
    loaded: Loaded,
    trained: Any,
    result: run_pb2.RunResult,
    answered: Sequence[Any],
) -> None:
    """Write the adapter or the whole model, the stock tokenizer, the report and all answers into a folder."""
    from services.trainer.answers import write_answers
    from services.trainer.report import Facts, write_report

    folder.mkdir(parents=True, exist_ok=True)
    trained.tuned.save(folder)
    # The library writes an empty model card, which an export replaces.
    (folder / "README.md").unlink(missing_ok=True)
    loaded.tokenizer.save_pretrained(folder)
    result.disk_bytes = max(trained.totals.disk_bytes, bytes_below(attempt.folder))
    facts = Facts(
        spec=spec,
        base_name=loaded.source.name,
        settings=all_settings(spec.config),
        rows=loaded.prepared.rows,
        mask=loaded.prepared.mask,
        totals=trained.totals,
        hardware=hardware(attempt.team.size),
        attempt=attempt.number,
    )
    write_report(folder, facts, result)
    write_answers(folder / "answers.jsonl", answered)
