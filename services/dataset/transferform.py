"""Imports and exports as messages of the contract."""

from __future__ import annotations

from finetuneflow.dataset.v1 import example_pb2
from finetuneflow.dataset.v1 import transfer_pb2 as pb
from services.common.protoform import count_to_proto
from services.dataset.exporting import Exported, Wish

_FORMAT, _ENCODING = "DATASET_FORMAT_", "DATASET_ENCODING_"


def format_name(value: pb.DatasetFormat.ValueType) -> str:
    """Return a format's name as files and people have it, or "" for none."""
    return "" if not value else pb.DatasetFormat.Name(value).removeprefix(_FORMAT).lower().replace("_", "-")


def format_value(name: str) -> pb.DatasetFormat.ValueType:
    """Return the value of a format's name."""
    return pb.DatasetFormat.Value(_FORMAT + (name.upper().replace("-", "_") or "UNSPECIFIED"))


def encoding_name(value: pb.DatasetEncoding.ValueType) -> str:
    """Return an encoding's name as files and people have it, or "" for none."""
    return "" if not value else pb.DatasetEncoding.Name(value).removeprefix(_ENCODING).lower()


def encoding_value(name: str) -> pb.DatasetEncoding.ValueType:
    """Return the value of an encoding's name."""
    return pb.DatasetEncoding.Value(_ENCODING + (name.upper() or "UNSPECIFIED"))


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
