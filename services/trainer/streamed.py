"""A model too large for the memory there is, for a proof: a layer's weights are read when it is used, then let go.

Memory holds one decoder layer at a time, or the embeddings, or the output, in float32; an adapter stays. The numbers
are those of the model loaded whole; the price is that each pass reads every file. accelerate's offloading would do it
for a model by itself; with PEFT on it, the adapter moves to files, and no layer is merged for the time it is there.

The files are read, not mapped: pages of a mapped file count as the process's memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open

from services.common.controlgroup import ControlGroup
from services.trainer.measuring import give_back_freed
from services.trainer.model import Source, load_config, load_generation, local_folder
from services.trainer.shards import weight_files

SHARE = 0.4
"""Of the memory that is free: a model whose weights in float32 take more than that is streamed. Loaded whole, writing
and proof together were measured to hold 2.2 times those weights (docs/export.md)."""
_LEFT_WHOLE = ("trainable_token_indices", "target_parameters", "layer_replication", "alora_invocation_tokens")
"""Settings of adapters that change more than what lies beside a layer's weight."""


class Files:
    """The tensors of a model's folder.

    Args:
        folder: with safetensors files.
    """

    def __init__(self, folder: Path) -> None:
        self._where: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in weight_files(folder):
            with safe_open(path, framework="pt", backend="pread") as file:
                for name in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                    self._where[name] = path
                    self.shapes[name] = tuple(file.get_slice(name).get_shape())

    def read(self, name: str) -> torch.Tensor:
        """Return one tensor in float32."""
        with safe_open(self._where[name], framework="pt", backend="pread") as file:
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor.float()


class Stream:
    """Reads the weights of a hollow model's modules when they are used.

    Args:
        files: of the model.
        keys: for each module that has weights of its own: the names in the files, by the module's name for them.
    """

    def __init__(self, files: Files, keys: dict[Any, dict[str, str]]) -> None:
        self._files = files
        self._keys = keys
        self._body: Any = None
        self._merges = False
        self._dtype: torch.dtype | None = None

    def attach(self, model: Any) -> Any:
        """Begin to read for the model, which may have got an adapter meanwhile; return it."""
        self._body = _body(model)
        for unit in self._units(self._body, frozenset(self._body._no_split_modules or ())):
            unit.register_forward_pre_hook(self._give)
            unit.register_forward_hook(self._take, always_call=True)
        return model

    def merge(self) -> None:
        """From now on have PEFT merge the adapter into the weights of each layer that is read."""
        self._merges = True

    def round_to(self, dtype: torch.dtype) -> None:
        """From now on round weights to a shorter type, merged ones too, and compute in float32 as before."""
        self._dtype = dtype
        for name, parameter in self._body.named_parameters():
            if ".modules_to_save." in name:
                parameter.data = parameter.data.to(dtype).float()

    def _units(self, module: Any, whole: frozenset[str]) -> Iterator[Any]:
        """Yield the modules whose weights are there together: a decoder layer's, or else those of one module."""
        if type(module).__name__ in whole or isinstance(module, BaseTunerLayer) or module in self._keys:
            yield module
        else:
            for child in module.children():
                yield from self._units(child, whole)

    def _give(self, unit: Any, arguments: Any) -> None:
        for module in unit.modules():
            for name, key in self._keys.get(module, {}).items():
                module._parameters[name] = torch.nn.Parameter(self._files.read(key), requires_grad=False)
        if self._merges:
            for layer in unit.modules():
                if isinstance(layer, BaseTunerLayer):
                    layer.merge(safe_merge=True)
        if self._dtype is not None:
            for module in unit.modules():
                for name in self._keys.get(module, {}):
                    parameter = module._parameters[name]
                    parameter.data = parameter.data.to(self._dtype).float()

    def _take(self, unit: Any, arguments: Any, output: Any) -> None:
        for module in unit.modules():
            if isinstance(module, BaseTunerLayer):
                module.merged_adapters.clear()
            for name in self._keys.get(module, {}):
                module._parameters[name] = _empty(module._parameters[name].shape)
        give_back_freed()


def needs_streaming(source: Source, adapter: Path | None = None, free: int | None = None) -> bool:
    """Whether a model is too large to be loaded whole. Adapters that change the base itself are not streamed.

    Args:
        source: the model.
        adapter: configuration file of an adapter to be put on it.
        free: bytes of memory to be taken as free; what is free now if None.
    """
    if adapter is not None and not _lies_beside(json.loads(adapter.read_text(encoding="utf-8"))):
        return False
    size = sum(4 * math.prod(shape) for shape in Files(local_folder(source)).shapes.values())
    return size > SHARE * (_free_memory_bytes() if free is None else free)


def hollow(source: Source) -> Any | None:
    """Return a model in evaluation mode whose weights have shapes alone, None if its files name them in another way.

    A weight that is used before `Stream.attach`, or outside its module, is not a number: nothing is proven by it.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    make: Any = AutoModelForCausalLM.from_config
    with init_empty_weights(include_buffers=False):
        model = make(load_config(source), dtype=torch.float32)
    model.tie_weights()
    files = Files(local_folder(source))
    keys = _keys(model, files)
    if keys is None:
        return None
    for module, names in keys.items():
        for name in names:
            module._parameters[name] = _empty(module._parameters[name].shape)
    model.generation_config = load_generation(source) or model.generation_config
    model.stream = Stream(files, keys)
    return model.eval()


def stream_of(model: Any) -> Stream | None:
    """Return what reads a model's weights, with an adapter on it or not; None if it is loaded whole."""
    stream: Stream | None = getattr(_body(model), "stream", None)
    return stream


def _body(model: Any) -> Any:
    return model.get_base_model() if isinstance(model, PeftModel) else model


def _lies_beside(settings: dict[str, Any]) -> bool:
    return (
        settings.get("peft_type") == "LORA"
        and settings.get("bias", "none") == "none"
        and isinstance(settings.get("init_lora_weights", True), bool)
        and not any(settings.get(name) for name in _LEFT_WHOLE)
    )


def _free_memory_bytes() -> int:
    """Return the main memory that is free: of the machine, or of the container where that allows less."""
    available = int(psutil.virtual_memory().available)
    _, free = ControlGroup().memory() or (available, available)
    return min(free, available)


def _keys(model: Any, files: Files) -> dict[Any, dict[str, str]] | None:
    """Return each module's names in the files; None if a weight is not there in its shape, or a buffer is stored."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    every = {name for tied in names.values() for name in tied}
    if not every.issuperset(model.state_dict()):
        return None
    keys: dict[Any, dict[str, str]] = {}
    for module in model.modules():
        for own, parameter in module._parameters.items():
            if parameter is None:
                continue
            prefix = f"{model.base_model_prefix}."
            spelt = [one for name in names[id(parameter)] for one in (name, name.removeprefix(prefix))]
            found = [one for one in spelt if files.shapes.get(one) == tuple(parameter.shape)]
            if not found:
                return None
            keys.setdefault(module, {})[own] = found[0]
    return keys


def _empty(shape: Any) -> torch.nn.Parameter:
    """Return a weight with the memory of one number, which is none."""
    return torch.nn.Parameter(torch.full((1,), math.nan).expand(shape), requires_grad=False)
