"""The checkpoint that a run begins from: found, compared, kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetuneflow.training.v1 import run_pb2
from services.common import ids
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotFound, NotReady
from services.common.jobwork import state
from services.common.resources import Resources
from services.training.core_start import differences

_CHECKPOINT = "projects/*/runs/*/checkpoints/*"
_FIELD = "run.resume_from_checkpoint"


async def find_start(runs: Resources, parent: str, wanted: run_pb2.Run, fields: Mapping[str, Any]) -> Document | None:
    """Return what a run is to begin from, as its document keeps it: None for the base model.

    Args:
        fields: the run to be, complete.

    Raises:
        InvalidArgument: the name is none, or of another project.
        NotFound: there is no such run, or it does not keep such a checkpoint.
        NotReady: CHECKPOINT_MISMATCH; the message says what differs.
    """
    named = wanted.resume_from_checkpoint
    if not named:
        if wanted.resume_weights_only:
            raise InvalidArgument(
                "resume_weights_only is set, and resume_from_checkpoint is not. Name the checkpoint.", field=_FIELD
            )
        return None
    run, step = _parts(named)
    if not run.startswith(parent + "/"):
        raise InvalidArgument(f"{run} is not of {parent}. Use a run of the same project.", field=_FIELD)
    source = await runs.get(run)
    checkpoint = _checkpoint(source, step)
    differ = differences(source, fields, weights_only=wanted.resume_weights_only)
    done, most = int(checkpoint["step"]), int(fields["config"]["max_steps"])
    if not wanted.resume_weights_only and 0 < most <= done:
        differ.append(f"nothing is left to train: max_steps is {most}")
    if differ:
        weights = differences(source, fields, weights_only=True)
        remedy = "Use the same." if weights or wanted.resume_weights_only else "Use the same, or resume_weights_only."
        raise NotReady(
            f"This run cannot go on from step {done} of {run}: {'; '.join(differ)}. {remedy}",
            reason="CHECKPOINT_MISMATCH",
            metadata={"differ": ", ".join(text.partition(" ")[0] for text in differ)},
            field=_FIELD,
        )
    return {
        "name": f"{run}/checkpoints/{done}",
        "run": run,
        "checkpoint": checkpoint,
        "weights_only": wanted.resume_weights_only,
        "learned": await _learned(runs, source),
    }


async def keep_start(runs: Resources, start: Document) -> None:
    """Let the run that a checkpoint is of keep it. Raises NotFound: it is gone meanwhile."""
    await runs.change(start["run"], lambda doc: state.pin(doc, start["checkpoint"]))


async def _learned(runs: Resources, source: Document) -> list[str]:
    """Return the hashes of the dataset versions that a run's weights learned from, its own first.

    "" stands for those of a run that is deleted and was begun from before this was kept.
    """
    start = source.get("start") or {}
    earlier = start.get("learned", None if start else [])
    if earlier is None:
        try:
            earlier = await _learned(runs, await runs.get(start["run"]))
        except NotFound:
            earlier = [""]
    return list(dict.fromkeys([source["dataset_sha256"], *earlier]))


def _parts(named: str) -> tuple[str, int]:
    """Return the run and the step that a name means; 0 for the newest good one."""
    if "/checkpoints/" not in named:
        ids.parse_name(named, "projects/*/runs/*", _FIELD)
        return named, 0
    run, _, step = named.rpartition("/checkpoints/")
    ids.parse_name(run, "projects/*/runs/*", _FIELD)
    if not step.isdecimal() or not 0 < int(step) < 2**31:
        raise InvalidArgument(f"{named[:200]} is not of the form {_CHECKPOINT}, with a step. Correct it.", field=_FIELD)
    return run, int(step)


def _checkpoint(source: Document, step: int) -> Document:
    kept = source["checkpoints"]
    wanted = step or state.good_step(source)
    found = next((c for c in reversed(kept) if c["step"] == wanted), None)
    if found is None:
        steps = ", ".join(str(c["step"]) for c in kept)
        has = f"It keeps those of steps {steps}." if steps else "It keeps none."
        raise NotFound(
            f"{source['_id']} has no checkpoint{f' of step {step}' if step else ' to begin from'}. {has}", field=_FIELD
        )
    return dict(found)
