"""What an adapter adds to each of a base model's tensors, without the model: PEFT's own formula, a tensor at a time.

LoRA adds s·BA, with s = alpha/r, or alpha/√r for rsLoRA; DoRA then gives each row the length that was learned. Ranks
and alphas of single modules are those of the adapter's configuration. A module trained whole replaces the base's.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from services.common.errors import NotReady

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."
_LORA = re.compile(r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)")


class Deltas:
    """An adapter, to be added to the tensors of its base model.

    Args:
        folder: of the adapter, in PEFT's layout.

    Raises:
        NotReady: with reason MERGE_UNSUPPORTED for a kind of adapter that is not understood here.
    """

    def __init__(self, folder: Path) -> None:
        self._config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if self._config.get("peft_type") != "LORA":
            raise unsupported(f"it is of type {self._config.get('peft_type')}")
        self._parts: dict[str, dict[str, torch.Tensor]] = {}
        self._whole: dict[str, torch.Tensor] = {}
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                self._take(key, file.get_tensor(key))
        self._left = {*self._parts, *self._whole}

    def _take(self, key: str, tensor: torch.Tensor) -> None:
        name = key.removeprefix(_PREFIX)
        found = _LORA.fullmatch(name.removesuffix(".weight"))
        if found:
            self._parts.setdefault(found["module"] + ".weight", {})[found["part"]] = tensor
        elif "lora_" in name or "trainable_tokens" in name:
            raise unsupported(f"it has {name}")
        else:
            self._whole[name] = tensor

    def target(self, name: str) -> str | None:
        """Return the adapter's own name for a tensor of the base that it changes, else None.

        A checkpoint may name its tensors with or without the name of the model's body in front.
        """
        return next((one for one in (*self._parts, *self._whole) if _same(one, name)), None)

    def apply(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the base in its own type, with what the adapter adds. The sum is made in float32.

        Raises:
            NotReady: with reason MODEL_INVALID if the shapes do not fit, or the result is not all numbers.
        """
        target = self.target(name)
        if target is None:
            return tensor
        self._left.discard(target)
        if target in self._whole:
            changed = self._whole[target].float()
        else:
            parts = {part: value.float() for part, value in self._parts[target].items()}
            changed = self._sum(target.removesuffix(".weight"), tensor.float(), parts)
        if changed.shape != tensor.shape or not bool(changed.isfinite().all()):
            raise _misfit(target)
        return changed.to(tensor.dtype)

    def require_used(self) -> None:
        """Refuse an adapter of which something found no tensor in the base.

        Raises:
            NotReady: with reason MERGE_UNSUPPORTED; the message names a tensor.
        """
        if self._left:
            raise unsupported(f"the base model's files have no {min(self._left)} of their own")

    def _sum(self, module: str, weight: torch.Tensor, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        embedding = "lora_embedding_A" in parts
        kind = "lora_embedding" if embedding else "lora"
        down, up = parts[f"{kind}_A"], parts[f"{kind}_B"]
        turned = embedding or bool(self._config.get("fan_in_fan_out"))
        if up.dim() != 2 or down.dim() != 2:
            raise unsupported(f"{module} is no linear layer")
        shape = (up.shape[0], down.shape[1])
        if up.shape[1] != down.shape[0] or (shape[::-1] if turned else shape) != weight.shape:
            raise _misfit(module)
        delta = (up @ down) * self._scaling(module, down.shape[0])
        delta = delta.T if turned else delta
        if "lora_magnitude_vector" not in parts:
            return weight + delta
        summed = weight + delta
        axis = 0 if turned else 1
        factor = parts["lora_magnitude_vector"].flatten() / torch.linalg.vector_norm(summed, dim=axis)
        scaled: torch.Tensor = summed * (factor.unsqueeze(0) if turned else factor.unsqueeze(1))
        return scaled

    def _scaling(self, module: str, rank: int) -> float:
        patterns: Mapping[str, float] = self._config.get("alpha_pattern") or {}
        alpha = next(
            (value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", module)),
            self._config["lora_alpha"],
        )
        return float(alpha) / (math.sqrt(rank) if self._config.get("use_rslora") else rank)


def unsupported(why: str) -> NotReady:
    """Return the refusal of an adapter that cannot be merged."""
    return NotReady(
        f"The adapter cannot be merged: {why}. Export it as adapter, or train LoRA on the linear layers.",
        reason="MERGE_UNSUPPORTED",
    )


def _misfit(name: str) -> NotReady:
    return NotReady(f"The adapter does not fit the base model: {name}. Train again.", reason="MODEL_INVALID")


def _same(module: str, name: str) -> bool:
    return module == name or module.endswith("." + name) or name.endswith("." + module)
