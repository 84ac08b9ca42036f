"""Parts of documents as messages of the contract."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from finetuneflow.common.v1 import artifact_pb2, meta_pb2, waiting_pb2, work_pb2
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, from_document
from services.common.statuses import to_status

MAX_PAIRS = 64
MAX_LABEL = 63
MAX_ANNOTATION = 4096
MAX_DISPLAY_NAME = 200


def timestamp(seconds: float | None) -> Timestamp | None:
    """Return seconds since 1970 as a Timestamp; None stays None."""
    if seconds is None:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1e6))
    return stamp


def meta_to_proto(doc: Document) -> meta_pb2.Meta:
    """Return what every resource has."""
    return meta_pb2.Meta(
        uid=doc["uid"],
        labels=doc["labels"],
        annotations=doc["annotations"],
        creator=doc["creator"],
        create_time=timestamp(doc["create_time"]),
        update_time=timestamp(doc["update_time"]),
        etag=doc["etag"],
    )


def check_mask(mask: Iterable[str], changeable: Collection[str]) -> None:
    """Refuse a field mask that names what cannot be changed. Raises InvalidArgument."""
    for path in mask:
        if path not in changeable:
            raise InvalidArgument(
                f'"{path}" cannot be changed. The mask may hold {", ".join(changeable)}.', field="update_mask"
            )


def user_fields(display_name: str, meta: meta_pb2.Meta, field: str) -> Document:
    """Return the fields of a new resource that users set freely: display_name, labels, annotations.

    Raises:
        InvalidArgument: too many or too long; field is the resource's name in the request.
    """
    if len(display_name) > MAX_DISPLAY_NAME:
        raise InvalidArgument(
            f"display_name is longer than {MAX_DISPLAY_NAME} characters. Shorten it.", field=f"{field}.display_name"
        )
    for kind, pairs, longest in (("labels", meta.labels, MAX_LABEL), ("annotations", meta.annotations, MAX_ANNOTATION)):
        too_long = any(len(key) > MAX_LABEL or len(value) > longest for key, value in pairs.items())
        if len(pairs) > MAX_PAIRS or too_long:
            raise InvalidArgument(
                f"{kind}: at most {MAX_PAIRS}, keys up to {MAX_LABEL} and values up to {longest} characters.",
                field=f"{field}.meta.{kind}",
            )
    return {"display_name": display_name, "labels": dict(meta.labels), "annotations": dict(meta.annotations)}


def work_to_proto(work: Document) -> work_pb2.Work:
    """Return work that outlives a call."""
    progress = work["progress"]
    return work_pb2.Work(
        state=work_pb2.WorkState.Value("WORK_STATE_" + work["state"]),
        progress=work_pb2.Progress(**progress),
        error=to_status(from_document(work["error"])) if work["error"] else None,
        queue_time=timestamp(work["queue_time"]),
        start_time=timestamp(work["start_time"]),
        end_time=timestamp(work["end_time"]),
        attempt=work["attempt"],
        waiting=_waiting_to_proto(work["waiting"]) if work.get("waiting") else None,
    )


def _waiting_to_proto(waiting: Document) -> waiting_pb2.Waiting:
    return waiting_pb2.Waiting(
        reason=waiting_pb2.WaitingReason.Value("WAITING_REASON_" + waiting["reason"]),
        message=waiting["message"],
        position=waiting.get("position", 0),
        since=timestamp(waiting["since"]),
    )


def artifact_to_document(artifact: artifact_pb2.Artifact) -> Document:
    """Return an artifact as a document keeps it."""
    return {
        "filename": artifact.filename,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "key": artifact.key,
    }


def artifact_to_proto(doc: Document) -> artifact_pb2.Artifact:
    """Return the artifact that a document keeps."""
    return artifact_pb2.Artifact(**doc)


def count_to_document(stage: str, came: int, went: int, dropped: dict[str, int]) -> Document:
    """Return one stage's balance as a document keeps it."""
    return {"stage": stage, "in": came, "out": went, "dropped": {k: v for k, v in sorted(dropped.items()) if v}}


def count_to_proto(doc: Document) -> work_pb2.StageCount:
    """Return one stage's balance."""
    drops = [work_pb2.Drop(reason=reason, count=count) for reason, count in doc["dropped"].items()]
    fields: dict[str, Any] = {"stage": doc["stage"], "in": doc["in"], "out": doc["out"], "dropped": drops}
    return work_pb2.StageCount(**fields)
