"""An adapter beside weights of 4 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit
from safetensors import safe_open

from services.common.errors import NotReady
from services.trainer.tuned import ADAPTER, adapted

_PREFIX = "base_model.model."


def keep_precise(model: Any) -> None:
    """Keep an adapter in float32, as beside weights that are not quantised; TRL has just rounded it to bfloat16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def begin_from_rest(model: Any, folder: Path) -> None:
    """Let an adapter begin as the best approximation of what quantisation lost: LoftQ with one round.

    PEFT's own function for this computes on a GPU only, and leaves lora_alpha / r out.

    Args:
        model: a PEFT model with quantised layers.
        folder: of the base model's safetensors.

    Raises:
        NotReady: with reason MODEL_INVALID if the files name a matrix otherwise than the model does.
    """
    files = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            files.update(dict.fromkeys(weights.keys(), path))
    names = {module: name.removeprefix(_PREFIX) + ".weight" for name, module in model.named_modules()}
    for layer in adapted(model):
        if isinstance(layer.get_base_layer(), Linear4bit):
            _begin(layer, _tensor(files, names[layer]))


def _tensor(files: dict[str, Path], name: str) -> Any:
    if name not in files:
        raise NotReady(
            f"The model's files have no {name[:200]}, so init_lora_weights cannot be loftq. Set it to true.",
            reason="MODEL_INVALID",
        )
    with safe_open(files[name], framework="pt") as weights:
        return weights.get_tensor(name)


def _begin(layer: Any, weight: Any) -> None:
    stored = layer.get_base_layer().weight
    rest = weight.to(stored.device, torch.float32) - dequantize_4bit(stored.data, stored.quant_state).float()
    left, values, right = torch.linalg.svd(rest, full_matrices=False)
    r = layer.r[ADAPTER]
    root = (values[:r] / layer.scaling[ADAPTER]).sqrt()
    layer.lora_B[ADAPTER].weight.data = (left[:, :r] * root).contiguous()
    layer.lora_A[ADAPTER].weight.data = (root[:, None] * right[:r]).contiguous()
