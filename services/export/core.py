"""What an export says about where it comes from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MANIFEST_SCHEMA = 1
GGUF_ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""What the trainer can write as GGUF."""
FEWEST_SHARD_BYTES = 1_000_000


def form_of(export: Mapping[str, Any]) -> str:
    """Return the form of an export's weights in words: "adapter", "merged", or "gguf Q8_0"."""
    form = str(export["format"]).removeprefix("FORMAT_").lower()
    quantization = str(export.get("quantization", "")).removeprefix("QUANTIZATION_")
    return form if quantization in ("", "UNSPECIFIED") else f"{form} {quantization}"


def manifest(export: str, form: str, run: Mapping[str, Any], documents: Sequence[str]) -> dict[str, Any]:
    """Return the manifest so far: the trainer adds the files with their hashes.

    Args:
        export: resource name of the export.
        form: as form_of returns it.
        run: the run as the contract's JSON.
        documents: names of the files that its dataset was written from.
    """
    return {
        "schema": MANIFEST_SCHEMA,
        "export": export,
        "format": form,
        "run": run["name"],
        "documents": list(documents),
        "dataset": {"name": run["dataset"], "version": run["dataset_version"], "sha256": run["dataset_sha256"]},
        "model": {"name": run["model"], "revision": run["model_revision"]},
        "config": run.get("config", {}),
        "versions": run["result"]["versions"] if "result" in run else {},
    }
