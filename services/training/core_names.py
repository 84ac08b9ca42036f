"""Names of optimizers, schedulers and kernels of transformers: which are taken, and why others are not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.common.errors import InvalidArgument
from services.common.packages import OF_PACKAGES, Installed, require

# Each made a step on a CPU: torch's, transformers' own, and bitsandbytes'.
OPTIMIZERS = (
    "adamw_torch",
    "adamw_torch_fused",
    "adafactor",
    "sgd",
    "adagrad",
    "rmsprop",
    "ademamix",
    "adamw_8bit",
    "adamw_bnb_8bit",
    "ademamix_8bit",
    "lion_8bit",
    "lion_32bit",
    "rmsprop_bnb",
    "rmsprop_bnb_8bit",
    "rmsprop_bnb_32bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "paged_ademamix_8bit",
    "paged_ademamix_32bit",
    "paged_lion_8bit",
    "paged_lion_32bit",
)
_LAYERS = "needs a choice of layers (optim_target_modules), which runs do not have"
NOT_HERE: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "galore_adamw", "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise",
            "galore_adamw_8bit_layerwise", "galore_adafactor_layerwise", "apollo_adamw", "apollo_adamw_layerwise",
        ),
        _LAYERS,
    ),
    **dict.fromkeys(("lomo", "adalomo"), "changes weights within the backward pass, so nothing can be resumed"),
    "adamw_torch_xla": "is for TPUs",
    "adamw_torch_npu_fused": "is for Ascend NPUs",
    "adamw_anyprecision": "needs torchdistx, which is no longer kept",
}  # fmt: skip
"""Optimizers of transformers that no run can have."""

SCHEDULERS = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "warmup_stable_decay",
)
SCHEDULERS_NOT_HERE: Mapping[str, str] = dict.fromkeys(
    ("reduce_lr_on_plateau", "greedy"), "follows the evaluations of transformers' own Trainer, which are not made"
)


def optimizer(name: str, installed: Installed) -> str:
    """Return an optimizer's name.

    Raises:
        InvalidArgument: it is none, or not here; with reason PACKAGE_MISSING if its package is not.
    """
    if name in OF_PACKAGES:
        require(installed, optim=name)
        return name
    return _choice("optim", name, OPTIMIZERS, NOT_HERE)


def scheduler(name: str) -> str:
    """Return a scheduler's name. Raises InvalidArgument."""
    return _choice("lr_scheduler_type", name, SCHEDULERS, SCHEDULERS_NOT_HERE)


def kernels(given: Mapping[str, Any], installed: Installed, gpu: bool) -> dict[str, bool]:
    """Return whether the model is compiled, and whether Liger's kernels are used.

    Args:
        gpu: whether the run has one.

    Raises:
        InvalidArgument: there is no GPU; with reason PACKAGE_MISSING if liger-kernel is not there.
    """
    found = {name: bool(given.get(name, False)) for name in ("torch_compile", "use_liger_kernel")}
    for name, why in (
        ("torch_compile", "On a CPU compiling takes longer than it saves"),
        ("use_liger_kernel", "Liger's kernels run on GPUs only"),
    ):
        if found[name] and not gpu:
            raise InvalidArgument(f"{why}, and the run has no GPU. Leave {name} out.", field=f"config.{name}")
    require(installed, use_liger_kernel=found["use_liger_kernel"])
    return found


def _choice(setting: str, value: str, choices: tuple[str, ...], not_here: Mapping[str, str]) -> str:
    if value in choices:
        return value
    why = f"{not_here[value]}. " if value in not_here else ""
    why = f"which {why}" if why else ""
    raise InvalidArgument(
        f'{setting} is "{value[:80]}"{", " if why else ". "}{why}Use one of {", ".join(choices)}.',
        field=f"config.{setting}",
    )
