"""A model that is trained, beside what it was before.

With an adapter there is one copy in memory: the base model is the tuned one with its adapter switched off. PiSSA and
OLoRA (Meng et al. 2024, arXiv:2404.02948; Büyükakyüz 2024, arXiv:2406.01775) move a part of the weights into the
adapter, and LoftQ (Li et al. 2023, arXiv:2310.08659) lets it begin as what quantisation lost. There the base model is
the tuned one with the adapter that it began with; that adapter is kept, travels with every checkpoint, and is
subtracted at the end, so that what is left is an ordinary adapter for the unchanged weights. Where every weight is
trained, the base model is loaded again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils.other import transpose
from safetensors.torch import load_file

from services.common.errors import InvalidArgument
from services.trainer.checkpoint import INITIAL, name_base
from services.trainer.shards import DEFAULT_SHARD_BYTES

ADAPTER = "default"
"""What PEFT calls an adapter that has no other name."""


class Tuned:
    """A model in training or after it.

    Args:
        model: with its adapter, if it has one.
        base_name: what files that go out call the base model.
        load_base: returns the base model as it was; for a model without adapter.
        initial: folder of the adapter that it began with, where that was no empty one; else None.
    """

    def __init__(self, model: Any, base_name: str, load_base: Callable[[], Any], initial: Path | None = None) -> None:
        self.model = model
        self.initial = initial
        self._base_name = base_name
        self._load_base = load_base
        self._base: Any = None

    @property
    def has_adapter(self) -> bool:
        """Whether it is the base model with an adapter."""
        return isinstance(self.model, PeftModel)

    @contextlib.contextmanager
    def base(self) -> Iterator[Any]:
        """Give the base model, for as long as the body runs."""
        if not self.has_adapter:
            self._base = self._base if self._base is not None else self._load_base().to(self.model.device)
            yield self._base
        elif self.initial is None:
            with self.model.disable_adapter():
                yield self.model
        else:
            with _holding(self.model, load_file(self.initial / "adapter_model.safetensors")):
                yield self.model

    def complete(self, checkpoint: Path) -> None:
        """Make a checkpoint's folder one that can be gone on from anywhere."""
        if self.has_adapter:
            name_base(checkpoint, self._base_name)
        if self.initial:
            shutil.copyfile(self.initial / "adapter_model.safetensors", checkpoint / INITIAL)

    def save(self, folder: Path) -> None:
        """Write the adapter, or the whole model, into a folder."""
        if not self.has_adapter:
            # Training switches the cache off and sets the padding; what is saved says what the base model says.
            with self.base() as base:
                self.model.config, self.model.generation_config = base.config, base.generation_config
            self.model.config._name_or_path = self._base_name
            self.model.save_pretrained(folder, max_shard_size=DEFAULT_SHARD_BYTES)
            return
        initial = str(self.initial) if self.initial else None
        self.model.save_pretrained(folder, path_initial_model_for_weight_conversion=initial)
        name_base(folder, self._base_name)


def keep_initial(model: Any, r: int, folder: Path, resume: Path | None, takes_part: bool) -> Path:
    """Keep the adapter that a model begins with, and return its folder.

    Args:
        model: its adapter has just begun, or, with `resume`, not yet.
        r: the adapter's rank.
        folder: where the folder is made.
        resume: checkpoint whose initial adapter it begins with instead.
        takes_part: whether the adapter takes a part out of the weights; then it does so as the first time, to the bit.

    Raises:
        InvalidArgument: a matrix has fewer rows or columns than r.
    """
    if resume:
        set_peft_model_state_dict(model, load_file(resume / INITIAL))
        for layer in adapted(model) if takes_part else ():
            _take_part(layer)
    if any(layer.lora_A[ADAPTER].weight.shape[0] != r for layer in adapted(model)):
        raise InvalidArgument(
            f"r is {r}, and a matrix of the model is smaller: it has no such part to train. Lower r, or set "
            "init_lora_weights to true.",
            field="config.lora.r",
        )
    initial = folder / "initial"
    model.save_pretrained(initial)
    return initial


def adapted(model: Any) -> list[Any]:
    """Return the layers that have an adapter."""
    return [m for m in model.modules() if isinstance(m, LoraLayer) and ADAPTER in m.lora_A]


def _take_part(layer: Any) -> None:
    """Subtract an adapter from the weight beside it, in float32, as PEFT does when PiSSA or OLoRA begins."""
    weight = layer.get_base_layer().weight
    flip = getattr(layer, "fan_in_fan_out", False)
    part = layer.scaling[ADAPTER] * layer.lora_B[ADAPTER].weight.data @ layer.lora_A[ADAPTER].weight.data
    rest = transpose(weight.data.to(torch.float32), flip) - part
    weight.data = transpose(rest.to(weight.dtype), flip).contiguous()


@contextlib.contextmanager
def _holding(model: Any, state: dict[str, Any]) -> Iterator[None]:
    """Let a model have another adapter's weights for as long as the body runs."""
    own = {name: tensor.clone() for name, tensor in get_peft_model_state_dict(model).items()}
    set_peft_model_state_dict(model, state)
    try:
        yield
    finally:
        set_peft_model_state_dict(model, own)
