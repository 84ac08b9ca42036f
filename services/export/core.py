"""What an export says about where it comes from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MANIFEST_SCHEMA = 1
GGUF_ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""What the trainer can write as GGUF."""
FEWEST_SHARD_BYTES = 1_000_000
FIGURES = ("examples", "base_loss", "tuned_loss", "base_perplexity", "tuned_perplexity")
"""Of an evaluation, by the names of EvalScore."""


def form_of(export: Mapping[str, Any]) -> str:
    """Return the form of an export's weights in words: "adapter", "merged", or "gguf Q8_0"."""
    form = str(export["format"]).removeprefix("FORMAT_").lower()
    quantization = str(export.get("quantization", "")).removeprefix("QUANTIZATION_")
    return form if quantization in ("", "UNSPECIFIED") else f"{form} {quantization}"


def manifest(export: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of an export's document so far: the trainer adds the files with their hashes."""
    run: Mapping[str, Any] = export["run_record"]
    return {
        "schema": MANIFEST_SCHEMA,
        "export": export["_id"],
        "format": form_of(export),
        "run": run["name"],
        "documents": list(export["documents"]),
        "dataset": {"name": run["dataset"], "version": run["dataset_version"], "sha256": run["dataset_sha256"]},
        "model": {"name": run["model"], "revision": run["model_revision"]},
        "license": export.get("license", ""),  # there were exports before it was kept
        "evaluation": _evaluation(run.get("result", {}).get("evaluation", {})),
        "config": run.get("config", {}),
        "versions": run["result"]["versions"] if "result" in run else {},
    }


def _evaluation(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return what a run's models scored, by what was asked; sets without examples are left out."""
    general = found.get("forgetting", {}).get("score", {})
    sets = {"generalise": found.get("generalise", {}), "recall": found.get("recall", {}), "general": general}
    return {
        name: {figure: score.get(figure, 0) for figure in FIGURES}
        for name, score in sets.items()
        if score.get("examples")
    }
