"""Numbers in GGUF's types: which tensor gets which, and the rounding itself, done by llama.cpp's own code.

llama.cpp comes inside the package xllamacpp. Its library exports ggml's C functions, of which one is called here:
`ggml_quantize_chunk`, the same that llama.cpp's own program for quantising calls.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import quantize as plainly
from numpy.typing import NDArray

from services.common.ggufpart import part_missing

Type = GGMLQuantizationType
_PLAIN = (Type.F32, Type.F16, Type.BF16)
_WIDTH = 256
"""Columns that a K type packs together; a tensor that is not so wide gets the type beside it."""
_NARROW: Mapping[Type, Type] = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}

MIXES: Mapping[str, tuple[Type, Type, Type]] = {
    "F32": (Type.F32, Type.F32, Type.F32),
    "F16": (Type.F16, Type.F16, Type.F16),
    "BF16": (Type.BF16, Type.BF16, Type.BF16),
    "Q8_0": (Type.Q8_0, Type.Q8_0, Type.Q8_0),
    "Q6_K": (Type.Q6_K, Type.Q6_K, Type.Q6_K),
    "Q5_K_M": (Type.Q5_K, Type.Q6_K, Type.Q6_K),
    "Q4_K_M": (Type.Q4_K, Type.Q6_K, Type.Q6_K),
    "Q4_0": (Type.Q4_0, Type.Q4_0, Type.Q6_K),
}
"""By a quantisation's name: the type of most tensors, of those that llama.cpp gives more bits, and of the output."""


def type_of(name: str, shape: tuple[int, ...], quantization: str, layers: int, tied: bool) -> Type:
    """Return the type that a tensor is stored in, as llama.cpp's mixes choose it.

    Vectors stay in float32. Of the M mixes, the values' projections and the last of each feed-forward get more bits in
    the first and last eighth of the layers and in every third between.

    Args:
        name: in GGUF: "blk.3.attn_v.weight".
        shape: rows and columns.
        quantization: a key of MIXES.
        layers: of the model.
        tied: whether the token embeddings are the output too.
    """
    most, more, output = MIXES[quantization]
    if len(shape) < 2 or name.endswith("_norm.weight"):
        return Type.F32
    chosen = most
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        chosen = output
    elif name.endswith(("attn_v.weight", "ffn_down.weight")) and _more_bits(int(name.split(".")[1]), layers):
        chosen = more
    if chosen in _NARROW and shape[-1] % _WIDTH:
        chosen = _NARROW[chosen]
    return Type.F16 if chosen not in _PLAIN and shape[-1] % GGML_QUANT_SIZES[chosen][0] else chosen


def _more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def rounded(values: NDArray[np.float32], kind: Type) -> NDArray[Any]:
    """Return a matrix in a type: numbers for the plain ones, else bytes, a row of them for each row."""
    if kind in _PLAIN:
        return plainly(values, kind)
    values = np.ascontiguousarray(values, dtype=np.float32)
    rows, columns = values.reshape(-1, values.shape[-1]).shape
    block, size = GGML_QUANT_SIZES[kind]
    made = np.empty((rows, columns // block * size), dtype=np.uint8)
    written = _library().ggml_quantize_chunk(
        int(kind), values.ctypes.data_as(ctypes.c_void_p), made.ctypes.data_as(ctypes.c_void_p), 0, rows, columns, None
    )
    if written != made.nbytes:
        raise RuntimeError(f"ggml wrote {written} bytes of {kind.name} where {made.nbytes} were expected.")
    return made.reshape(*values.shape[:-1], made.shape[-1])


def require_part() -> None:
    """Refuse where the part that makes and tries GGUF files is missing.

    Raises:
        NotReady: with reason GGUF_PART_MISSING.
    """
    found = importlib.util.find_spec("xllamacpp")
    if found is None:
        raise part_missing()


@functools.cache
def _library() -> Any:
    require_part()
    import xllamacpp

    path = next(Path(xllamacpp.__file__).parent.glob("xllamacpp*.so"))
    library = ctypes.CDLL(str(path))
    quantize = library.ggml_quantize_chunk
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    quantize.argtypes = (ctypes.c_int, pointer, pointer, number, number, number, pointer)
    quantize.restype = ctypes.c_size_t
    return library
