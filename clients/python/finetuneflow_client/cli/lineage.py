"""Which weights learned from dataset versions, directly or by what they began from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import run_pb2

Record = run_pb2.Run | export_pb2.Origin
"""What says of weights which versions they learned from: a run, or what an export recorded of its run."""


def learned(
    runs: Sequence[run_pb2.Run], exports: Sequence[export_pb2.Export], hashes: Collection[str]
) -> tuple[list[run_pb2.Run], list[export_pb2.Export]]:
    """Return the runs and exports whose weights learned from some versions, at any distance, in their order.

    A run that was deleted is followed by what its exports, and the runs that began from it, recorded of it. An export
    of an older server, which does not say what it recorded, goes with its run.

    Args:
        hashes: of the versions' files.
    """
    records: list[tuple[str, Record]] = [(run.name, run) for run in runs]
    records += [(export.run, export.origin) for export in exports]
    found: set[str] = set()
    while further := {name for name, record in records if _has_learned(record, hashes, found)} - found:
        found |= further
    return (
        [run for run in runs if _has_learned(run, hashes, found)],
        [e for e in exports if _has_learned(e.origin, hashes, found) or (not e.HasField("origin") and e.run in found)],
    )


def began_from(record: Record) -> str:
    """Return the run whose weights some began from; empty for the base model."""
    return record.resume_from_checkpoint.partition("/checkpoints/")[0]


def _has_learned(record: Record, hashes: Collection[str], runs: Collection[str]) -> bool:
    """Whether weights are of some versions, or began from such or from some runs."""
    own = {record.dataset_sha256, *record.earlier_dataset_sha256s}
    return not own.isdisjoint(hashes) or began_from(record) in runs
