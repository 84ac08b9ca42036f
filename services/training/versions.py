"""Which version of a dataset a run may train on."""

from __future__ import annotations

from typing import Any

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from services.common.errors import NotReady
from services.training.core_during import evaluates


def kind_of(dataset: dataset_pb2.Dataset) -> str:
    """Return what the examples of a dataset are; one from before there were kinds is of conversations."""
    kind = dataset.kind or dataset_pb2.DATASET_KIND_SFT
    return dataset_pb2.DatasetKind.Name(kind).removeprefix("DATASET_KIND_")


def require_held_out(dataset: str, version: dataset_pb2.DatasetVersion, settings: dict[str, Any]) -> None:
    """Refuse a run that is evaluated while it trains, and has nothing for it. Raises NotReady (NO_EVAL_EXAMPLES)."""
    if evaluates(settings) and not version.eval_examples + version.recall_examples:
        raise NotReady(
            f"Version {version.version} of {dataset} holds no example out, to evaluate on while training. Generate "
            "with an eval_fraction, or leave eval_steps, early_stopping_patience and load_best_model_at_end out.",
            reason="NO_EVAL_EXAMPLES",
            field="run.dataset",
        )


def _remedy(dataset: dataset_pb2.Dataset) -> str:
    """Return what is to be done about a dataset without a version."""
    failed = dataset.work.state in (work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_CANCELLED)
    if dataset.HasField("imported"):
        return "It was not imported. Import the file again." if failed else "Wait for the import to end."
    if failed or dataset.work.state == work_pb2.WORK_STATE_PAUSED:
        return "Go on with `ftf dataset resume`, or freeze what there is with `ftf dataset freeze`."
    if dataset.work.state == work_pb2.WORK_STATE_SUCCEEDED:
        return "Make one with `ftf dataset freeze`."
    return "Wait for `ftf dataset generate` to end."


def find_version(dataset: dataset_pb2.Dataset, wanted: int, only_approved: bool) -> dataset_pb2.DatasetVersion:
    """Return a version, the newest for 0. Raises NotReady (DATASET_NOT_READY, NOT_APPROVED_ONLY, VERSION_ERASED)."""
    found = [v for v in dataset.versions if wanted in (0, v.version)]
    if not found:
        short = dataset.name.rpartition("/")[2]
        remedy = f"See its versions with `ftf dataset show {short}`." if dataset.versions else _remedy(dataset)
        which = f"version {wanted}" if wanted else "frozen version yet"
        raise NotReady(f"{dataset.name} has no {which}. {remedy}", reason="DATASET_NOT_READY", field="run.dataset")
    if only_approved:
        found = [v for v in found if v.approved_only]
        if not found:
            raise NotReady(
                f"{dataset.name} has no such version of approved examples only. Make one with "
                "`ftf dataset freeze --approved-only`.",
                reason="NOT_APPROVED_ONLY",
                field="run.dataset_version",
            )
    if found[-1].erased:
        raise NotReady(
            f"Version {found[-1].version} of {dataset.name} was erased with a document. Use a newer version.",
            reason="VERSION_ERASED",
            field="run.dataset_version",
        )
    return found[-1]
