"""Imports and exports as messages of the contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from finetuneflow.dataset.v1 import dataset_pb2, example_pb2
from finetuneflow.dataset.v1 import transfer_pb2 as pb
from services.common.documents.port import Document
from services.common.protoform import artifact_to_proto, count_to_proto
from services.dataset.exporting import Exported, Wish
from services.dataset.importheader import Header

_FORMAT, _ENCODING = "DATASET_FORMAT_", "DATASET_ENCODING_"


def format_name(value: dataset_pb2.DatasetFormat.ValueType) -> str:
    """Return a format's name as files and people have it, or "" for none."""
    return "" if not value else dataset_pb2.DatasetFormat.Name(value).removeprefix(_FORMAT).lower().replace("_", "-")


def format_value(name: str) -> dataset_pb2.DatasetFormat.ValueType:
    """Return the value of a format's name."""
    return dataset_pb2.DatasetFormat.Value(_FORMAT + (name.upper().replace("-", "_") or "UNSPECIFIED"))


def encoding_name(value: dataset_pb2.DatasetEncoding.ValueType) -> str:
    """Return an encoding's name as files and people have it, or "" for none."""
    return "" if not value else dataset_pb2.DatasetEncoding.Name(value).removeprefix(_ENCODING).lower()


def encoding_value(name: str) -> dataset_pb2.DatasetEncoding.ValueType:
    """Return the value of an encoding's name."""
    return dataset_pb2.DatasetEncoding.Value(_ENCODING + (name.upper() or "UNSPECIFIED"))


def wish(request: pb.ExportDatasetRequest) -> Wish:
    """Return what an export is to be."""
    split = example_pb2.Split.Name(request.split).removeprefix("SPLIT_") if request.split else ""
    return Wish(
        format=format_name(request.format) or "messages",
        encoding=encoding_name(request.encoding) or "jsonl",
        with_source=request.with_source,
        split=split,
    )


def exported(name: str, version: int, wish: Wish, made: Exported) -> pb.ExportedFile:
    """Return what an export made."""
    which = f"v{version}" if version else "reviews"
    return pb.ExportedFile(
        filename=f"{name.rpartition('/')[2]}-{which}.{wish.format}.{wish.encoding}",
        size_bytes=made.size,
        sha256=made.sha256,
        version=version,
        columns=made.columns,
        count=count_to_proto(made.count),
    )


def header(asked: pb.ImportHeader) -> Header:
    """Return what an import is going to be; where it goes on is no part of what it asks for."""
    body = pb.ImportHeader()
    body.CopyFrom(asked)
    body.ClearField("offset")
    return Header(
        parent=asked.parent,
        filename=asked.filename,
        dataset=asked.dataset,
        dataset_id=asked.dataset_id,
        request_id=asked.request_id,
        sha256=asked.sha256,
        size_bytes=asked.size_bytes,
        format=format_name(asked.format),
        encoding=encoding_name(asked.encoding),
        mapping=dict(asked.mapping),
        split_column=asked.split_column,
        strict=asked.strict,
        body=body.SerializeToString(deterministic=True),
        offset=asked.offset,
    )


def imported(doc: Document) -> dataset_pb2.ImportedFile | None:
    """Return the file that a dataset was made of, or None for a generated one."""
    found = doc.get("import")
    if not found:
        return None
    return dataset_pb2.ImportedFile(
        filename=found["filename"],
        size_bytes=found["size_bytes"],
        sha256=found["sha256"],
        format=format_value(found["format"]),
        encoding=encoding_value(found["encoding"]),
        mapping=found["mapping"],
        split_column=found["split_column"],
        strict=found["strict"],
        ignored_columns=found["ignored"],
        problems=[dataset_pb2.RowProblem(**problem) for problem in found["problems"]],
        report=artifact_to_proto(found["report"]) if found["report"] else None,
    )


def example_fields(doc: Document) -> dict[str, Any]:
    """Return what only imported examples have, as JSON of the contract."""
    fields: dict[str, Any] = {name: doc[name] for name in ("imported", "tools", "label") if name in doc}
    if doc.get("rejected"):
        fields["rejected"] = chat_messages(doc["rejected"])
    return fields


def chat_messages(messages: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Return messages as JSON of the contract; what an assistant calls is JSON in a text."""
    known = ("role", "content", "tool_calls", "tool_call_id", "name")
    return [
        {
            k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)
            for k, v in message.items()
            if v and k in known
        }
        for message in messages
    ]
