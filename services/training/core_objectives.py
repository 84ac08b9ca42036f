"""Rules about what a training makes of its dataset: the objective and its settings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.common.errors import InvalidArgument, NotReady
from services.common.objectives import FIXED
from services.training.core_numbers import Number, number

SFT, DPO, KTO = "OBJECTIVE_SFT", "OBJECTIVE_DPO", "OBJECTIVE_KTO"
PRETRAIN = "OBJECTIVE_PRETRAIN"

_FOR = {"SFT": SFT, "PREFERENCE": DPO, "KTO": KTO, "TEXT": PRETRAIN}
"""Kind of dataset → its objective."""

# Defaults: those of TRL's DPOConfig and KTOConfig.
_NUMBERS: Mapping[str, Mapping[str, Number]] = {
    SFT: {},
    PRETRAIN: {},
    DPO: {"beta": Number(0.1, 0, 100, above=True), "label_smoothing": Number(0, 0, 0.499999)},
    KTO: {
        "beta": Number(0.1, 0, 100, above=True),
        "desirable_weight": Number(1, 0, 100),
        "undesirable_weight": Number(1, 0, 100),
    },
}
_LOSSES: Mapping[str, tuple[str, ...]] = {
    DPO: (
        "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
        "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
    ),
    KTO: ("kto", "apo_zero_unpaired"),
}  # fmt: skip
_WEIGHT = Number(1, 0, 100, above=True)
_ONLY = (
    "beta", "loss_type", "loss_weights", "label_smoothing", "desirable_weight", "undesirable_weight",
    "precompute_ref_log_probs",
)  # fmt: skip
_TAKEN = {
    SFT: frozenset[str](),
    PRETRAIN: frozenset[str](),
    DPO: frozenset({"beta", "label_smoothing", "loss_type", "loss_weights", "precompute_ref_log_probs"}),
    KTO: frozenset({"beta", "desirable_weight", "undesirable_weight", "loss_type", "precompute_ref_log_probs"}),
}
MASKS: Mapping[str, Mapping[str, bool]] = {f"OBJECTIVE_{name}": fixed for name, fixed in FIXED.items()}
"""What an objective fixes."""

_WHY = {
    PRETRAIN: "learns every token, of texts that follow each other",
    DPO: "scores each answer by itself and whole",
    KTO: "scores each answer by itself and whole",
}


def objective_for(given: Mapping[str, Any], kind: str, dataset: str) -> str:
    """Return what is made of a dataset: what was asked for, or what its kind is for.

    Args:
        given: the settings that were chosen.
        kind: of the dataset: SFT, PREFERENCE, KTO or TEXT.
        dataset: its name, for messages.

    Raises:
        InvalidArgument: the objective is none that this server knows.
        NotReady: it cannot be made of such a dataset (DATASET_KIND_NOT_TRAINABLE).
    """
    named = str(given.get("objective", "OBJECTIVE_UNSPECIFIED"))
    if named == "OBJECTIVE_UNSPECIFIED":
        named = _FOR.get(kind, "")
    elif named not in _TAKEN:
        words = ", ".join(_word(name).lower() for name in _TAKEN)
        raise InvalidArgument(f"The objective {named[:40]} is not known. Use one of {words}.", field="config.objective")
    if not named or _FOR.get(kind) != named:
        raise NotReady(
            f"{dataset} is {'an' if kind == 'SFT' else 'a'} {kind} dataset, which {_word(named) or 'no objective'} "
            f"does not learn from. {_remedy(kind)}",
            reason="DATASET_KIND_NOT_TRAINABLE",
            metadata={"kind": kind, "objective": _word(named)},
            field="run.dataset",
        )
    return named


def objective_of(given: Mapping[str, Any]) -> str:
    """Return the objective of settings; unset means SFT."""
    return str(given.get("objective", SFT))


def preferring(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the objective itself with every default filled in.

    Raises:
        InvalidArgument: one is out of range, or is for another objective.
    """
    objective = objective_of(given)
    _refuse_others(given, objective)
    settings: dict[str, Any] = {
        name: number(given, name, rule, f"config.{name}") for name, rule in _NUMBERS[objective].items()
    }
    if objective in _LOSSES:
        settings["loss_type"] = _losses(given, objective)
        settings["precompute_ref_log_probs"] = bool(given.get("precompute_ref_log_probs", False))
    if given.get("loss_weights"):
        settings["loss_weights"] = _weights(given["loss_weights"], settings["loss_type"])
    if "exo_pair" in settings.get("loss_type", ()) and not settings["label_smoothing"]:
        raise InvalidArgument(
            "exo_pair needs a label_smoothing over 0. Set it; 0.001 is usual.", field="config.loss_type"
        )
    return settings


def check_together(settings: Mapping[str, Any]) -> None:
    """Refuse what DPO and KTO cannot be done with.

    Raises:
        InvalidArgument: two settings exclude each other.
    """
    objective = objective_of(settings)
    if objective not in _LOSSES:
        return
    for field, why in _objections(settings):
        raise InvalidArgument(f"{_word(objective)} {why}", field=f"config.{field}")


def _objections(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield settings that DPO or KTO cannot be done with, each with the reason and the remedy."""
    lora = settings.get("lora", {})
    beginning = str(lora.get("init_lora_weights", "true"))
    measures = "measures against the model as it was, which is the one without its adapter"
    if beginning.startswith(("pissa", "olora", "loftq")):
        yield (
            "lora.init_lora_weights",
            f'{measures}; with init_lora_weights "{beginning}" it is not. Set init_lora_weights to true.',
        )
    if lora.get("modules_to_save"):
        yield "lora.modules_to_save", f"{measures}; TRL would see trained modules there. Leave modules_to_save out."
    if "lm_head" in lora.get("target_modules", ()):
        yield "lora.target_modules", "in TRL cannot train an adapter on lm_head. Leave it out of target_modules."
    if "neftune_noise_alpha" in settings:
        why = "measures against the model as it was, and noise on the embeddings would blur that"
        yield "neftune_noise_alpha", f"{why}. Leave neftune_noise_alpha out."
    if settings["loss_type"] == ["kto"] and settings["per_device_train_batch_size"] < 2:
        why = "compares the examples of a batch, and per_device_train_batch_size is 1"
        yield "per_device_train_batch_size", f"{why}. Use 2 or more, or the loss_type apo_zero_unpaired."


def _refuse_others(given: Mapping[str, Any], objective: str) -> None:
    for name in _ONLY:
        if given.get(name) not in (None, []) and name not in _TAKEN[objective]:
            words = " or ".join(_word(other) for other in _TAKEN if name in _TAKEN[other])
            raise InvalidArgument(
                f"{name} is for {words}, and the objective is {_word(objective)}. Leave it out.", field=f"config.{name}"
            )
    for name, fixed in MASKS[objective].items():
        if bool(given.get(name, fixed)) != fixed:
            raise InvalidArgument(
                f"{name} is {str(not fixed).lower()}, and {_word(objective)} {_WHY[objective]}. Leave it out.",
                field=f"config.{name}",
            )


def _losses(given: Mapping[str, Any], objective: str) -> list[str]:
    losses = list(given.get("loss_type", ())) or [_LOSSES[objective][0]]
    most = 1 if objective == KTO else len(_LOSSES[objective])
    if not set(losses) <= set(_LOSSES[objective]) or len(set(losses)) < len(losses) or len(losses) > most:
        raise InvalidArgument(
            f'loss_type is "{", ".join(map(str, losses))[:80]}". For {_word(objective)} use '
            f"{'one' if most == 1 else 'some'} of {', '.join(_LOSSES[objective])}, each once.",
            field="config.loss_type",
        )
    return losses


def _weights(given: Any, losses: list[str]) -> list[float]:
    weights = [float(weight) for weight in given]
    if len(weights) != len(losses) or not all(map(_WEIGHT.allows, weights)):
        raise InvalidArgument(
            f"loss_weights has {len(weights)} numbers, loss_type {len(losses)} losses. Give one for each, "
            f"{_WEIGHT.words()}.",
            field="config.loss_weights",
        )
    return weights


def _word(objective: str) -> str:
    return objective.removeprefix("OBJECTIVE_")


def _remedy(kind: str) -> str:
    if kind in _FOR:
        return f"Set the objective to {_word(_FOR[kind]).lower()}, or use another dataset."
    return "Use another dataset."
