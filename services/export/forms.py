"""Which forms of weights may be asked for, before anything is started."""

from __future__ import annotations

from finetuneflow.export.v1 import export_pb2
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotReady
from services.common.ggufpart import part_missing
from services.common.optionalpart import PARTS
from services.export import core

_FORMATS = (export_pb2.FORMAT_ADAPTER, export_pb2.FORMAT_MERGED, export_pb2.FORMAT_GGUF, *PARTS)


def check_form(wanted: export_pb2.Export) -> None:
    """Refuse a format that is not made, and what does not go with it.

    Raises:
        InvalidArgument: the message says what does.
    """
    if wanted.format not in _FORMATS:
        raise InvalidArgument("No format is given. Use adapter, merged, gguf, awq or onnx.", field="export.format")
    if wanted.quantization not in export_pb2.Quantization.values():
        raise InvalidArgument("The quantization is not one that is made. Use Q8_0.", field="export.quantization")
    if wanted.quantization and wanted.format != export_pb2.FORMAT_GGUF:
        raise InvalidArgument(
            "A quantization goes with the format gguf alone. Leave it out.", field="export.quantization"
        )
    if wanted.max_shard_bytes and wanted.format != export_pb2.FORMAT_MERGED:
        raise InvalidArgument(
            "max_shard_bytes goes with the format merged alone. Leave it out.", field="export.max_shard_bytes"
        )
    if wanted.max_shard_bytes and wanted.max_shard_bytes < core.FEWEST_SHARD_BYTES:
        raise InvalidArgument(
            f"max_shard_bytes is {wanted.max_shard_bytes}; use at least {core.FEWEST_SHARD_BYTES:,}, or 0 for 2 GB.",
            field="export.max_shard_bytes",
        )


def require_fit(form: export_pb2.Format.ValueType, architecture: str, has_gguf: bool) -> None:
    """Refuse a format that a model's architecture has not.

    Args:
        architecture: of the base model: "LlamaForCausalLM".
        has_gguf: see require_gguf.

    Raises:
        NotReady: with reason ARCHITECTURE_UNKNOWN for AWQ and ONNX; for GGUF, see require_gguf.
    """
    if form == export_pb2.FORMAT_GGUF:
        require_gguf(architecture, has_gguf)
    if part := PARTS.get(form):
        part.require_architecture(architecture, "export.format")


def require_gguf(architecture: str, part_is_here: bool) -> None:
    """Refuse a GGUF file that could not be made.

    Args:
        architecture: of the base model: "LlamaForCausalLM".
        part_is_here: whether llama.cpp is installed, as far as that can be known here.

    Raises:
        NotReady: with reason GGUF_UNSUPPORTED or GGUF_PART_MISSING.
    """
    if architecture not in core.GGUF_ARCHITECTURES:
        raise NotReady(
            f"A model of the architecture {architecture or 'unknown'} cannot be written as GGUF here; "
            f"{', '.join(core.GGUF_ARCHITECTURES)} can. Export it merged, and convert it with llama.cpp's own "
            "convert_hf_to_gguf.py.",
            reason="GGUF_UNSUPPORTED",
            field="export.format",
        )
    if not part_is_here:
        raise part_missing("export.format")


def quantization_of(doc: Document) -> export_pb2.Quantization.ValueType:
    """Return how an export's GGUF file keeps its numbers; unspecified for other formats."""
    return export_pb2.Quantization.Value(doc.get("quantization", "QUANTIZATION_UNSPECIFIED"))
