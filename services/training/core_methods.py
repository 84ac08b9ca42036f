"""Rules about what of a model is trained: the method and the adapter's settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.common.errors import InvalidArgument
from services.training.core_numbers import Number, number

LORA, FULL, QLORA = "METHOD_LORA", "METHOD_FULL", "METHOD_QLORA"

LEARNING_RATES: Mapping[str, float] = {
    # Ten times TRL's default, as is usual for LoRA ("LoRA Without Regret", Schulman et al. 2025).
    LORA: 2e-4,
    FULL: 2e-5,
    # The paper's for models of up to 13 billion parameters (Dettmers et al. 2023, arXiv:2305.14314, table 9).
    QLORA: 2e-4,
}
LORA_NUMBERS: Mapping[str, Number] = {
    "r": Number(8, 1, 1024),
    "lora_alpha": Number(16, 0, 65536, above=True),
    "lora_dropout": Number(0, 0, 0.9),
}
_FIELD = "config.lora.init_lora_weights"
_BEGINNINGS: Mapping[str, tuple[str, ...]] = {
    LORA: ("true", "gaussian", "orthogonal", "olora", "pissa", "pissa_niter_N"),
    QLORA: ("true", "gaussian", "orthogonal", "loftq"),
}
_FAST_SVD = re.compile(r"pissa_niter_[1-9]\d{0,2}")


def method(given: Mapping[str, Any]) -> str:
    """Return what is trained; unset means LoRA.

    Raises:
        InvalidArgument: it is none that this server knows.
    """
    named = given.get("method", LORA)
    named = LORA if named == "METHOD_UNSPECIFIED" else named
    if named not in LEARNING_RATES:
        words = ", ".join(_word(name) for name in LEARNING_RATES)
        raise InvalidArgument(f"The method {str(named)[:40]} is not known. Use one of {words}.", field="config.method")
    return str(named)


def adapter(lora: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return the adapter's settings with every default filled in.

    Raises:
        InvalidArgument: one is out of range, or two exclude each other.
    """
    settings: dict[str, Any] = {
        **{name: number(lora, name, rule, f"config.lora.{name}") for name, rule in LORA_NUMBERS.items()},
        "use_rslora": bool(lora.get("use_rslora", False)),
        "target_modules": list(lora.get("target_modules", [])) or ["all-linear"],
        "use_dora": bool(lora.get("use_dora", False)),
        "init_lora_weights": str(lora.get("init_lora_weights", "true")),
        "modules_to_save": list(lora.get("modules_to_save", [])),
    }
    _check_beginning(settings, method)
    return settings


def require_no_adapter(lora: Mapping[str, Any]) -> None:
    """Refuse settings of an adapter where there is none.

    Raises:
        InvalidArgument: there is one.
    """
    if lora:
        raise InvalidArgument(
            f"{', '.join(sorted(lora))} is for an adapter, and method full has none. Leave it out, or train with "
            "method lora.",
            field="config.lora",
        )


def _check_beginning(settings: Mapping[str, Any], method: str) -> None:
    beginning = settings["init_lora_weights"]
    form = "pissa_niter_N" if _FAST_SVD.fullmatch(beginning) else beginning
    if form not in _BEGINNINGS[method] or beginning == "pissa_niter_N":
        raise InvalidArgument(
            f'init_lora_weights is "{beginning[:80]}". With method {_word(method)} use one of '
            f"{', '.join(_BEGINNINGS[method])}.",
            field=_FIELD,
        )
    if beginning == "orthogonal" and settings["r"] % 2:
        raise InvalidArgument(f'"orthogonal" needs an even r; r is {settings["r"]}. Change one of them.', field=_FIELD)
    if settings["modules_to_save"] and beginning.startswith(("pissa", "olora", "loftq")):
        raise InvalidArgument(
            f'modules_to_save and init_lora_weights "{beginning}" exclude each other: what the adapter began with is '
            "subtracted at the end, and a whole module has nothing like it. Leave one of them out.",
            field="config.lora.modules_to_save",
        )
    if settings["use_dora"] and beginning.startswith(("pissa", "olora", "loftq")):
        raise InvalidArgument(
            f'use_dora and init_lora_weights "{beginning}" exclude each other: what comes out of both is no ordinary '
            "adapter of the base model. Leave one of them out.",
            field=_FIELD,
        )


def _word(method: str) -> str:
    """Return a method as a user types it."""
    return method.removeprefix("METHOD_").lower()
