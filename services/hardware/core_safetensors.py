"""Safetensors files: their header, read without their bytes.

A file is 8 bytes of header length (little-endian), a JSON header, and the tensors' bytes. The header names each tensor
with its type, shape and place, so that it tells everything about the weights but their values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.common.errors import InvalidArgument

PREFIX = 8
MAX_HEADER = 100_000_000
"""Largest header, as the format's own reader allows, in bytes."""

DTYPES: Mapping[str, tuple[str, int]] = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
"""Types by the format's names: torch's name and bytes per number."""


@dataclass(frozen=True)
class Tensor:
    """One stored tensor; dtype by the format's name."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


def header_length(filename: str, prefix: bytes, file_size: int) -> int:
    """Return how long the header is, from the first 8 bytes.

    Raises:
        InvalidArgument: the file is shorter than it says, or not a safetensors file (MODEL_INVALID).
    """
    length = int.from_bytes(prefix, "little")
    if len(prefix) < PREFIX or not 2 <= length <= MAX_HEADER:
        raise broken(filename, "is not a safetensors file")
    if PREFIX + length > file_size:
        raise broken(filename, "is cut off inside its header")
    return length


def tensors(filename: str, header: bytes, file_size: int) -> dict[str, Tensor]:
    """Return the tensors that a header names.

    Raises:
        InvalidArgument: the header is damaged, or the file is longer or shorter than its tensors (MODEL_INVALID).
    """
    try:
        entries = json.loads(header)
        parsed = {name: _tensor(entry) for name, entry in entries.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise broken(filename, "has a header that cannot be read") from None
    end = PREFIX + len(header) + max((stop for _, stop in parsed.values()), default=0)
    if end > file_size:
        raise broken(filename, f"is cut off: {file_size:,} of {end:,} bytes are there")
    if end < file_size:
        raise broken(filename, f"has {file_size - end:,} bytes after its last tensor")
    return {name: tensor for name, (tensor, _) in parsed.items()}


def _tensor(entry: Mapping[str, Any]) -> tuple[Tensor, int]:
    """Return a tensor and where its bytes end; what is not of the right form is a ValueError or the like."""
    shape, (start, stop), dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not all(type(n) is int and n >= 0 for n in (*shape, start, stop)) or not isinstance(dtype, str):
        raise ValueError
    tensor = Tensor(dtype, tuple(shape))
    if dtype in DTYPES and stop - start != tensor.count * DTYPES[dtype][1]:
        raise ValueError
    return tensor, stop


def broken(filename: str, what: str) -> InvalidArgument:
    """Return the error for a file that is not as it should be."""
    return InvalidArgument(
        f"{filename} {what}. Copy or download the model again.", reason="MODEL_INVALID", metadata={"file": filename}
    )
