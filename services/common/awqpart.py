"""The parts that make and read AWQ weights, which a trainer may lack."""

from __future__ import annotations

import importlib.util

from services.common.errors import NotReady

_PACKAGES = {"auto_round": "auto-round", "compressed_tensors": "compressed-tensors"}
"""What is imported, and what is installed."""


ARCHITECTURES = (
    *("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"),
    *("Gemma2ForCausalLM", "Phi3ForCausalLM"),
)
"""Those whose layers auto-round 0.16 lists by name, of those that can be trained with an estimate."""


def is_here() -> bool:
    """Whether they are in this program's own environment."""
    return all(importlib.util.find_spec(module) is not None for module in _PACKAGES)


def require_architecture(architecture: str, field: str = "") -> None:
    """Refuse a model whose layers AWQ is not known to fit.

    Args:
        architecture: of the base model: "LlamaForCausalLM".
        field: the request's field at fault, if there is one.

    Raises:
        NotReady: with reason ARCHITECTURE_UNKNOWN.
    """
    if architecture not in ARCHITECTURES:
        raise NotReady(
            f"A model of the architecture {architecture or 'unknown'} cannot be written as AWQ here; "
            f"{', '.join(ARCHITECTURES)} can. Export it merged.",
            reason="ARCHITECTURE_UNKNOWN",
            field=field,
        )


def require_awq(part_is_here: bool, field: str = "") -> None:
    """Refuse AWQ weights where they could not be made.

    Args:
        part_is_here: whether the packages are there, as far as that can be known here.
        field: the request's field at fault, if there is one.

    Raises:
        NotReady: with reason PACKAGE_MISSING.
    """
    if not part_is_here:
        packages = " ".join(_PACKAGES.values())
        raise NotReady(
            "AWQ weights are made by the packages auto-round and compressed-tensors, which are not installed with the "
            f"trainer. Run `pip install {packages}` there, or export merged. In a cluster build an image with them, "
            "and set FTF_AWQ to 1 in the chart's services.export.env: see docs/export.md.",
            reason="PACKAGE_MISSING",
            metadata={"package": packages},
            field=field,
        )
