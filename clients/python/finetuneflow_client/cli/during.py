"""What a run tells of its training: how long, which weights it keeps, which checkpoints there are."""

from __future__ import annotations

from finetuneflow.common.v1 import worker_service_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.errors import FtfError, WorkFailed

_COLUMNS = ("STEP", "LOSS", "EVAL LOSS", "SIZE", "SHA256 OF THE WEIGHTS", "KEPT AS", "AGE")
_LISTED = 400
"""Evaluations that a result lists at most."""
_WEIGHTS = ("adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json")


async def checkpoints(session: Session) -> None:
    """List a run's checkpoints."""
    name = await targets.run(session, session.args.run)
    run = await session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name))
    rows = [_row(run, checkpoint) for checkpoint in run.checkpoints]
    session.output.listing("checkpoints", list(run.checkpoints), _COLUMNS, rows)


def _row(run: run_pb2.Run, checkpoint: worker_service_pb2.Checkpoint) -> tuple[str, ...]:
    told = {name: f"{value:.4f}" for name, value in checkpoint.metrics.items()}
    weights = next((f.sha256 for name in _WEIGHTS for f in checkpoint.files if f.filename == name), "")
    return (
        str(checkpoint.step),
        told.get("loss", ""),
        told.get("eval_loss", ""),
        wording.size(sum(file.size_bytes for file in checkpoint.files)),
        weights,
        kept_as(run, checkpoint),
        wording.age(checkpoint.create_time),
    )


def kept_as(run: run_pb2.Run, checkpoint: worker_service_pb2.Checkpoint) -> str:
    """Return why a checkpoint is kept: "newest, best"."""
    good = next((c for c in reversed(run.checkpoints) if not c.diverging), None)
    found = {
        "newest": checkpoint == run.checkpoints[-1],
        "best": checkpoint.best,
        "newest good": checkpoint == good and run.checkpoints[-1].diverging,
        "loss too high": checkpoint.diverging,
        "beginning of another run": checkpoint.pinned,
    }
    return ", ".join(word for word, holds in found.items() if holds) or "one of the newest"


def begins_from(run: run_pb2.Run) -> str:
    """Return what a run began from, in words; empty for the base model."""
    if not run.resume_from_checkpoint:
        return ""
    outer, _, step = run.resume_from_checkpoint.partition("/checkpoints/")
    what = "its weights, at step 0" if run.resume_weights_only else "all of it"
    return f"{names.short(outer)}/checkpoint-{step}, {what}" if step else f"{names.short(outer)}, {what}"


def way_on(run: run_pb2.Run, error: FtfError | None) -> FtfError | None:
    """Return an error with the command that goes on from the checkpoint that it names, if it does."""
    step = error.metadata.get("checkpoint") if isinstance(error, WorkFailed) else None
    if error is None or not step:
        return error
    begin = f"ftf rerun {names.short(run.name)} --from-checkpoint {names.short(run.name)}/checkpoint-{step}"
    lower = ""
    if error.reason == "LOSS_DIVERGED":
        lower = f" --resume-weights-only --set learning_rate={run.config.learning_rate / 4:.1g}"
    remedy = f"{error.remedy}: `{begin}{lower}`" if error.remedy else f"go on with `{begin}{lower}`"
    return WorkFailed(error.message, remedy, code=error.code, reason=error.reason, metadata=error.metadata)


def facts(run: run_pb2.Run) -> dict[str, object]:
    """Return what a run tells of its training, as facts."""
    result = run.result
    if not result.steps:
        return {}
    early = ", ended early" if result.stopped_early else ""
    found: dict[str, object] = {
        "trained": f"{wording.many(result.steps, 'step')}{early} in {wording.duration(result.train_seconds)}, "
        f"loss {result.train_loss:.4f}, {wording.many(result.trainable_parameters, 'parameter')}, "
        f"{wording.memory(result.peak_memory_bytes)} memory at most"
    }
    if result.evaluations:
        chosen = run.config.metric_for_best_model
        values = [p.values[chosen] for p in result.evaluations if p.step == result.kept_step and chosen in p.values]
        value = f", {chosen} {values[0]:.4f}" if values else ""
        made = wording.many(len(result.evaluations), "evaluation")
        made = f"{made} or more" if len(result.evaluations) >= _LISTED else made
        found["weights"] = f"of step {result.kept_step}{value}; {made} while training"
    return found
