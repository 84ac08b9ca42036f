"""The parts that make and read some forms of weights, which a trainer may lack: each an extra of the project."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from finetuneflow.export.v1 import export_pb2
from services.common.errors import NotReady


@dataclass(frozen=True)
class OptionalPart:
    """What makes one form of weights.

    Args:
        name: of the form, for people.
        packages: what is imported → what is installed.
        architectures: of models that it is known to fit.
        variable: of the environment, that says of a cluster's trainers that they have it.
    """

    name: str
    packages: Mapping[str, str]
    architectures: tuple[str, ...]
    variable: str

    def is_here(self) -> bool:
        """Whether it is in this program's own environment."""
        return all(importlib.util.find_spec(module) is not None for module in self.packages)

    def require_architecture(self, architecture: str, field: str = "") -> None:
        """Refuse a model that it is not known to fit.

        Args:
            architecture: of the base model: "LlamaForCausalLM".
            field: the request's field at fault, if there is one.

        Raises:
            NotReady: with reason ARCHITECTURE_UNKNOWN.
        """
        if architecture not in self.architectures:
            raise NotReady(
                f"A model of the architecture {architecture or 'unknown'} cannot be written as {self.name} here; "
                f"{', '.join(self.architectures)} can. Export it merged.",
                reason="ARCHITECTURE_UNKNOWN",
                field=field,
            )

    def require(self, is_here: bool, field: str = "") -> None:
        """Refuse the form where it could not be made.

        Args:
            is_here: whether the packages are there, as far as that can be known here.
            field: the request's field at fault, if there is one.

        Raises:
            NotReady: with reason PACKAGE_MISSING.
        """
        if is_here:
            return
        *most, last = self.packages.values()
        packages = " ".join(self.packages.values())
        raise NotReady(
            f"{self.name} weights are made by the packages {', '.join(most)} and {last}, which are not installed with "
            f"the trainer. Run `pip install {packages}` there, or export merged. In a cluster build an image with "
            f"them, and set {self.variable} to 1 in the chart's services.export.env: see docs/export.md.",
            reason="PACKAGE_MISSING",
            metadata={"package": packages},
            field=field,
        )


AWQ = OptionalPart(
    name="AWQ",
    packages={"auto_round": "auto-round", "compressed_tensors": "compressed-tensors"},
    # Those whose layers auto-round 0.16 lists by name, of those that can be trained with an estimate.
    architectures=(
        *("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"),
        *("Gemma2ForCausalLM", "Phi3ForCausalLM"),
    ),
    variable="FTF_AWQ",
)
ONNX = OptionalPart(
    name="ONNX",
    packages={"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"},
    # Those of which a small model was written and answered as it does in transformers.
    architectures=(
        *("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"),
        *("GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM"),
        *("PhiForCausalLM", "Phi3ForCausalLM", "GPT2LMHeadModel"),
    ),
    variable="FTF_ONNX",
)
PARTS: Mapping[export_pb2.Format.ValueType, OptionalPart] = {
    export_pb2.FORMAT_AWQ: AWQ,
    export_pb2.FORMAT_ONNX: ONNX,
}
"""By the form that each makes; other forms need none of these."""
