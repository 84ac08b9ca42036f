"""The part that makes and tries GGUF files, which a trainer may lack."""

from __future__ import annotations

from services.common.errors import NotReady


def part_missing(field: str = "") -> NotReady:
    """Return the refusal of a GGUF file where llama.cpp is not installed.

    Args:
        field: the request's field at fault, if there is one.
    """
    return NotReady(
        "GGUF files are made and tried with llama.cpp, which is not installed with the trainer. Install it with "
        "`pip install xllamacpp`, or export merged.",
        reason="GGUF_PART_MISSING",
        field=field,
    )
