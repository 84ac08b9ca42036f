"""Documents as messages of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import ParseDict

from finetuneflow.dataset.v1 import (
    dataset_pb2,
    dataset_service_pb2,
    example_pb2,
    ledger_pb2,
    llm_endpoint_pb2,
    review_pb2,
    versions_pb2,
)
from services.common.documents.port import Document
from services.common.protoform import artifact_to_proto, count_to_proto, meta_to_proto, timestamp, work_to_proto
from services.dataset import transferform
from services.dataset.core import review
from services.dataset.core.frozen import conversation
from services.dataset.core.purposes import EMBEDDED, JUDGED

_EXAMPLE_FIELDS = (
    "prompt", "response", "chunk", "evidence", "accepted", "drop_reason", "drop_detail", "split", "prompt_version",
    "llm", "reply_tokens", "edited", "evidence_span",
)  # fmt: skip
_TASK_FIELDS = ("reasoning", "task_type", "language", "persona", "judge_reason", "pages")


def endpoint(doc: Document) -> llm_endpoint_pb2.LlmEndpoint:
    """Return an endpoint, without its key."""
    return llm_endpoint_pb2.LlmEndpoint(
        name=doc["_id"],
        display_name=doc["display_name"],
        meta=meta_to_proto(doc),
        base_url=doc["base_url"],
        model=doc["model"],
        max_concurrency=doc["max_concurrency"],
        timeout_seconds=doc["timeout_seconds"],
        json_mode=llm_endpoint_pb2.JsonMode.Value(doc["json_mode"]),
        has_api_key=doc["has_api_key"],
        api_key_secret=doc.get("api_key_secret", ""),
        adaptive=doc.get("adaptive", False),
        prompt_price=doc.get("prompt_price", 0.0),
        completion_price=doc.get("completion_price", 0.0),
    )


def usage(doc: Mapping[str, Any]) -> dataset_pb2.Usage:
    """Return what generation used."""
    return dataset_pb2.Usage(
        calls=int(doc["calls"]),
        retries=int(doc["retries"]),
        prompt_tokens=int(doc["prompt_tokens"]),
        completion_tokens=int(doc["completion_tokens"]),
        seconds=doc["seconds"],
        cost=doc.get("cost", 0.0),
        judge_calls=int(doc.get("parts", {}).get(JUDGED, {}).get("calls", 0)),
        embedded_texts=int(doc.get("parts", {}).get(EMBEDDED, {}).get("calls", 0)),
        held_back=doc.get("held_back", False),
    )


def dataset(doc: Document) -> dataset_pb2.Dataset:
    """Return a dataset."""
    return dataset_pb2.Dataset(
        name=doc["_id"],
        display_name=doc["display_name"],
        meta=meta_to_proto(doc),
        work=work_to_proto(doc["work"]) if doc["work"] else None,
        spec=ParseDict(doc["spec"], dataset_pb2.DatasetSpec()),
        counts=[count_to_proto(c) for c in doc["counts"]],
        usage=usage(doc["usage"]),
        flags=doc.get("flags", {}),
        forgotten_files=[file["name"] for file in doc.get("forgotten", ())],
        stop_reason=doc.get("stop_reason", ""),
        estimate=ParseDict(doc["estimate"], dataset_pb2.Estimate()) if doc.get("estimate") else None,
        versions=[
            dataset_pb2.DatasetVersion(
                version=v["version"],
                artifact=artifact_to_proto(v["artifact"]),
                train_examples=v["train_examples"],
                eval_examples=v["eval_examples"],
                recall_examples=v["recall_examples"],
                create_time=timestamp(v["create_time"]),
                approved_only=v.get("approved_only", False),
                erased=v.get("erased", False),
                ledger=[ledger_step(s) for s in v.get("ledger", ())],
            )
            for v in doc["versions"]
        ],
        kind=dataset_pb2.DatasetKind.Value(doc.get("kind") or "DATASET_KIND_SFT"),
        imported=transferform.imported(doc),
    )


def example(doc: Document) -> example_pb2.Example:
    """Return an example; one of a preview has no name."""
    fields: dict[str, Any] = {name: doc[name] for name in _EXAMPLE_FIELDS}
    fields.update(name=doc["_id"], file_display_name=doc["file_name"])
    fields.update({name: doc[name] for name in _TASK_FIELDS if doc.get(name)})
    fields["messages"] = transferform.chat_messages(conversation(doc, "") if doc.get("messages") else ())
    if doc.get("question_type"):
        fields["question_type"] = "QUESTION_TYPE_" + doc["question_type"]
    fields.update(flags=doc.get("flags", []), scores=doc.get("scores", {}))
    if doc["place"]:
        fields["place"] = doc["place"]
    fields.update(transferform.example_fields(doc))
    message = ParseDict(fields, example_pb2.Example())
    message.content_sha256 = review.content_sha256(doc)
    if doc.get("review"):
        message.review.CopyFrom(review_message(doc))
    if doc["_id"]:
        message.meta.CopyFrom(meta_to_proto(doc))
    return message


def review_message(doc: Document) -> review_pb2.Review:
    """Return what a person said of an example."""
    said, state = review.of(doc), review.state(doc)
    return review_pb2.Review(
        state=review_pb2.ReviewState.Value(f"REVIEW_STATE_{state or 'UNSPECIFIED'}"),
        by=said["by"],
        tags=said["tags"],
        note=said["note"],
        content_sha256=said["content_sha256"],
        lapsed=bool(said["state"] and not state),
    )


def ledger_step(step: Mapping[str, Any]) -> ledger_pb2.LedgerStep:
    """Return one step of a ledger."""
    return ParseDict(dict(step), ledger_pb2.LedgerStep())


def use(found: Mapping[str, Any]) -> versions_pb2.Use:
    """Return what a dataset has of a file."""
    return ParseDict(dict(found), versions_pb2.Use())


def statistics(found: Mapping[str, Any]) -> dataset_service_pb2.DatasetStatistics:
    """Return a dataset in numbers."""
    return ParseDict(dict(found), dataset_service_pb2.DatasetStatistics())
