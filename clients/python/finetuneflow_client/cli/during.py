"""What a run tells of its training: how long, which weights it keeps, which checkpoints there are."""

from __future__ import annotations

from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.cli import wording


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
        found["weights"] = f"of step {result.kept_step}{value}; {made} while training"
    return found
