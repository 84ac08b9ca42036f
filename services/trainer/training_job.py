"""A run from its spec to its result: load, check, train, evaluate, write the report, upload."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.training.v1 import evaluation_pb2, run_pb2
from services.common.errors import NotReady
from services.trainer.attempt import Attempt
from services.trainer.checkpoint import fetch_checkpoint, name_base
from services.trainer.encode import Encoded, Encoder, Mask, measure, require_supervision
from services.trainer.machine import hardware, peak_memory_bytes, versions
from services.trainer.model import Source, check_files, dtype_for, load_model, load_tokenizer, source_of
from services.trainer.rows import EVAL, RECALL, TRAIN, Row, of_split, read_rows
from services.trainer.settings import all_settings, setting
from services.trainer.transfer import fetch
from services.trainer.uploads import CheckpointUploads, upload_all

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A dataset as the model sees it."""

    rows: list[Row]
    encoder: Encoder
    train: list[Encoded]
    mask: Mask


def run_training(attempt: Attempt, spec: run_pb2.TrainSpec) -> tuple[run_pb2.RunResult, list[artifact_pb2.Artifact]]:
    """Do a run and return its result and its uploaded artifacts.

    Raises:
        Stopped, Terminated: see train.
        FineTuneFlowError: of the step that failed.
    """
    source = source_of(spec.model_location, spec.model_revision, spec.model)
    check_files(source)
    dataset = fetch(
        spec.dataset_url, spec.dataset_sha256, attempt.folder / "dataset.jsonl", attempt.patience, "Dataset"
    )
    rows = read_rows(dataset)
    tokenizer = load_tokenizer(source)
    attempt.orders.check()
    prepared = prepare(attempt, spec, tokenizer, rows)
    attempt.orders.check()
    model = load_model(source, dtype_for(setting(spec.config, "bf16")))
    trained = _train(attempt, spec, source, model, tokenizer, prepared.train)
    evaluation = evaluate(attempt, trained.model, tokenizer, prepared)
    totals = trained.totals
    result = run_pb2.RunResult(
        steps=totals.steps,
        train_loss=totals.last_tenth(),
        train_seconds=totals.train_seconds,
        trainable_parameters=trained.trainable_parameters,
        peak_memory_bytes=max(totals.peak_memory_bytes, peak_memory_bytes()),
        supervised_tokens=prepared.mask.supervised_tokens,
        tokens=prepared.mask.tokens,
        truncated_examples=prepared.mask.truncated,
        evaluation=evaluation,
        versions=versions(),
        platform_seconds=totals.platform_seconds,
    )
    folder = attempt.folder / "artifacts"
    write_artifacts(folder, attempt, spec, source, trained, prepared, result, tokenizer)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return result, upload_all(
        attempt.worker,
        folder,
        paths,
        attempt.patience,
        lambda done, total: attempt.phase("upload", done, total, "bytes"),
    )


def prepare(attempt: Attempt, spec: run_pb2.TrainSpec, tokenizer: Any, rows: list[Row]) -> Prepared:
    """Encode the training set and refuse it if it teaches nothing."""
    train = of_split(rows, TRAIN)
    attempt.phase("check", 0, len(train), "examples")
    if not train:
        raise NotReady("The dataset has no example to train on. Generate more.", reason="NO_ACCEPTED_EXAMPLES")
    encoder = Encoder(tokenizer, rows, setting(spec.config, "max_length"), setting(spec.config, "assistant_only_loss"))
    encoded = [encoder.encode(row) for row in train]
    mask = measure(encoded)
    require_supervision(mask)
    log.info(
        "%d of %d training examples, %d supervised tokens of %d, %d examples truncated.",
        *(mask.kept, mask.examples, mask.supervised_tokens, mask.tokens, mask.truncated),
    )
    attempt.phase("check", len(train), len(train), "examples")
    return Prepared(rows, encoder, [e for e in encoded if e.supervised], mask)


def _train(
    attempt: Attempt, spec: run_pb2.TrainSpec, source: Source, model: Any, tokenizer: Any, examples: Sequence[Encoded]
) -> Any:
    from services.trainer.train import Training, train

    uploads = CheckpointUploads(attempt.worker, attempt.patience, attempt.reporter.stored)
    uploads.start()
    try:
        training = Training(
            config=spec.config,
            folder=attempt.folder / "checkpoints",
            base_name=source.name,
            resume=_resume(attempt),
            reporter=attempt.reporter,
            orders=attempt.orders,
            uploads=uploads,
        )
        trained = train(training, model, copy.deepcopy(tokenizer), examples)
        uploads.wait()
        return trained
    finally:
        uploads.close()


def _resume(attempt: Attempt) -> Path | None:
    checkpoint: pb.Checkpoint | None = attempt.checkpoint
    if checkpoint is None:
        return None
    log.info("Going on from the checkpoint of step %d.", checkpoint.step)
    return fetch_checkpoint(checkpoint, attempt.folder / "resume", attempt.patience)


def evaluate(attempt: Attempt, model: Any, tokenizer: Any, prepared: Prepared) -> evaluation_pb2.Evaluation:
    """Score both models on what was held out, and let both answer a few prompts."""
    from services.trainer.answers import answer_both, choose
    from services.trainer.evaluate import score

    sets = {split: of_split(prepared.rows, split) for split in (EVAL, RECALL)}
    encoded = {s: [e for e in map(prepared.encoder.encode, rows) if e.supervised] for s, rows in sets.items()}
    chosen = choose(sets[EVAL], sets[RECALL])
    total = 2 * (sum(map(len, encoded.values())) + len(chosen))
    done = 0

    def step(more: int) -> None:
        nonlocal done
        done += more
        attempt.orders.check()
        attempt.phase("evaluate", done, total, "examples")

    step(0)
    pad = tokenizer.pad_token_id or 0
    return evaluation_pb2.Evaluation(
        generalise=score(model, encoded[EVAL], pad, step),
        recall=score(model, encoded[RECALL], pad, step),
        samples=answer_both(model, tokenizer, prepared.encoder, chosen, step),
    )


def write_artifacts(
    folder: Path,
    attempt: Attempt,
    spec: run_pb2.TrainSpec,
    source: Source,
    trained: Any,
    prepared: Prepared,
    result: run_pb2.RunResult,
    tokenizer: Any,
) -> None:
    """Write the adapter, the stock tokenizer and the report into a folder."""
    from services.trainer.report import Facts, write_report

    folder.mkdir(parents=True, exist_ok=True)
    trained.model.save_pretrained(folder)
    name_base(folder, source.name)
    # The library writes an empty model card, which an export replaces.
    (folder / "README.md").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    facts = Facts(
        spec=spec,
        base_name=source.name,
        settings=all_settings(spec.config),
        rows=prepared.rows,
        mask=prepared.mask,
        totals=trained.totals,
        hardware=hardware(),
        attempt=attempt.number,
    )
    write_report(folder, facts, result)
