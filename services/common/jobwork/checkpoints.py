"""Checkpoints as documents and as messages, and what a trainer is told of them."""

from __future__ import annotations

from finetuneflow.common.v1 import worker_service_pb2 as pb
from services.common.documents.port import Document
from services.common.errors import NotReady
from services.common.jobwork import state
from services.common.objects.port import Objects
from services.common.protoform import artifact_to_document, artifact_to_proto, timestamp


def to_document(checkpoint: pb.Checkpoint, attempt: int, now: float) -> Document:
    """Return a checkpoint that has just become complete as a document keeps it."""
    return {
        "step": checkpoint.step,
        "files": [artifact_to_document(f) for f in checkpoint.files],
        "attempt": attempt,
        "create_time": now,
        "metrics": dict(checkpoint.metrics),
        "best": checkpoint.best,
        "diverging": checkpoint.diverging,
    }


def to_proto(doc: Document) -> pb.Checkpoint:
    """Return a checkpoint without URLs."""
    return pb.Checkpoint(
        step=doc["step"],
        attempt=doc["attempt"],
        metrics=doc.get("metrics", {}),
        best=doc.get("best", False),
        diverging=doc.get("diverging", False),
        pinned=doc.get("pinned", False),
        files=[artifact_to_proto(f) for f in doc["files"]],
        create_time=timestamp(doc["create_time"]),
    )


async def tell(objects: Objects, doc: Document, answer: pb.BeginAttemptResponse) -> None:
    """Put the checkpoints that an attempt goes on from into its answer, with URLs to read them from."""
    if start := state.start_of(doc):
        answer.checkpoint.CopyFrom(await _readable(objects, start["checkpoint"]))
    if doc["checkpoints"]:
        newest, best = doc["checkpoints"][-1], state.best_checkpoint(doc)
        answer.checkpoint.CopyFrom(await _readable(objects, newest))
        if best and best is not newest:
            answer.best_checkpoint.CopyFrom(await _readable(objects, best))


async def start_is_gone(objects: Objects, doc: Document) -> NotReady | None:
    """Return the error of work that is to begin from other work's checkpoint, if that is gone."""
    start = state.start_of(doc)
    sizes = [await objects.size(file["key"]) for file in start["checkpoint"]["files"]] if start else []
    if start is None or None not in sizes:
        return None
    return NotReady(
        f"The checkpoint of step {start['checkpoint']['step']}, which this was to begin from, was deleted with its "
        "run. Begin from another, or from the base model.",
        reason="CHECKPOINT_GONE",
    )


async def _readable(objects: Objects, checkpoint: Document) -> pb.Checkpoint:
    found = to_proto(checkpoint)
    found.urls.extend([await objects.grant(f["key"], "read") for f in checkpoint["files"]])
    return found
