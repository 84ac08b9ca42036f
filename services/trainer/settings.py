"""A run's settings as the libraries take them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from finetuneflow.training.v1 import config_pb2
from services.common import packages
from services.common.errors import InvalidArgument
from services.common.objectives import FIXED

_SEEDS = 2**32
_ALMOST_ALL = 0.999999

DEFAULTS: dict[str, Any] = {
    "learning_rate": 2e-4,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "max_length": 512,
    "packing": False,
    "assistant_only_loss": True,
    "completion_only_loss": False,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "optim": "adamw_torch",
    "seed": 42,
    "logging_steps": 1,
    "save_steps": 50,
    "save_total_limit": 2,
    "gradient_checkpointing": False,
    "bf16": False,
    "num_eval_answers": 24,
    "max_forgetting": 0.5,
    "max_truncated": 0.1,
    "neftune_noise_alpha": None,
    "torch_compile": False,
    "use_liger_kernel": False,
    "eval_steps": None,
    "early_stopping_patience": None,
    "early_stopping_threshold": 0.0,
    "load_best_model_at_end": False,
    "metric_for_best_model": "eval_loss",
    "greater_is_better": False,
    "divergence_factor": 3.0,
    "divergence_patience": 20,
}
"""Values of settings that are not set; the service sets all of them, so this is for the trainer by itself."""

OBJECTIVE_DEFAULTS: dict[str, dict[str, Any]] = {
    "SFT": {},
    "PRETRAIN": {},
    "DPO": {
        "beta": 0.1,
        "loss_type": ["sigmoid"],
        "loss_weights": [],
        "label_smoothing": 0.0,
        "precompute_ref_log_probs": False,
    },
    "KTO": {
        "beta": 0.1,
        "loss_type": ["kto"],
        "desirable_weight": 1.0,
        "undesirable_weight": 1.0,
        "precompute_ref_log_probs": False,
    },
}
"""TRL's values of the settings of an objective that are not set."""

LORA_DEFAULTS: dict[str, Any] = {
    "r": 8,
    "lora_alpha": 16.0,
    "lora_dropout": 0.0,
    "use_rslora": False,
    "use_dora": False,
    "init_lora_weights": "true",
}


def setting(config: config_pb2.TrainingConfig, name: str) -> Any:
    """Return a setting, or its default where it is not set."""
    own, fixed = OBJECTIVE_DEFAULTS[objective(config)], FIXED[objective(config)]
    if name in fixed:
        return fixed[name]
    if name in ("loss_type", "loss_weights"):
        return list(getattr(config, name)) or own[name]
    return _value(config, name, {**DEFAULTS, **own})


def objective(config: config_pb2.TrainingConfig) -> str:
    """Return what is made of the dataset: SFT, PRETRAIN, DPO or KTO."""
    named = config_pb2.Objective.Name(config.objective or config_pb2.OBJECTIVE_SFT)
    return named.removeprefix("OBJECTIVE_")


def is_judged(config: config_pb2.TrainingConfig) -> bool:
    """Whether it is learnt which answers are better, and not the answers themselves."""
    return objective(config) in ("DPO", "KTO")


def require_packages(config: config_pb2.TrainingConfig) -> None:
    """Refuse settings whose Python package is not here. Raises as packages.require."""
    packages.require(
        lambda name: importlib.util.find_spec(name) is not None,
        optim=setting(config, "optim"),
        use_liger_kernel=setting(config, "use_liger_kernel"),
    )


def lora_setting(config: config_pb2.TrainingConfig, name: str) -> Any:
    """Return a setting of the adapter, or its default where it is not set."""
    return _value(config.lora, name, LORA_DEFAULTS)


def _value(message: Any, name: str, defaults: dict[str, Any]) -> Any:
    return getattr(message, name) if message.HasField(name) else defaults[name]


def all_settings(config: config_pb2.TrainingConfig) -> dict[str, Any]:
    """Return every setting by its name, as trained with."""
    wanted = objective(config)
    settings = {name: setting(config, name) for name in (*OBJECTIVE_DEFAULTS[wanted], *DEFAULTS)}
    settings = {"objective": wanted, **settings}
    if is_full(config):
        return {"method": "FULL", **settings}
    lora = {f"lora.{name}": lora_setting(config, name) for name in LORA_DEFAULTS}
    return {
        "method": "QLORA" if is_quantised(config) else "LORA",
        **lora,
        "lora.target_modules": target_modules(config),
        "lora.modules_to_save": list(config.lora.modules_to_save),
        **settings,
    }


def is_full(config: config_pb2.TrainingConfig) -> bool:
    """Whether every weight is trained."""
    return config.method == config_pb2.METHOD_FULL


def is_quantised(config: config_pb2.TrainingConfig) -> bool:
    """Whether the weights beside the adapter are kept in 4 bits."""
    return config.method == config_pb2.METHOD_QLORA


def begins_as(config: config_pb2.TrainingConfig) -> str:
    """Return what the adapter begins as where that changes what the model says at first or its weights; else ""."""
    beginning: str = "" if is_full(config) else lora_setting(config, "init_lora_weights")
    return beginning if beginning.startswith(("pissa", "olora", "loftq")) else ""


def target_modules(config: config_pb2.TrainingConfig) -> str | list[str]:
    """Return the modules that get an adapter, as PEFT takes them."""
    names = list(config.lora.target_modules)
    return "all-linear" if names in ([], ["all-linear"]) else names


def sft_config(config: config_pb2.TrainingConfig, folder: Path, gpu: bool, bf16: bool, sparse: bool = False) -> Any:
    """Return TRL's SFTConfig, or its DPOConfig or KTOConfig.

    Steps are always logged one by one, and means over `logging_steps` made by us, so that a resumed training reports
    the same values. Checkpoints are all kept by TRL; they go when they have been uploaded.

    Args:
        config: the run's settings.
        folder: where checkpoints go.
        gpu: whether there is one.
        bf16: whether to compute in bfloat16.
        sparse: whether the model is a mixture of experts.

    Raises:
        InvalidArgument: a value is none that transformers or TRL take.
    """
    same = (
        "learning_rate num_train_epochs max_steps per_device_train_batch_size gradient_accumulation_steps max_length "
        "lr_scheduler_type weight_decay max_grad_norm optim save_steps neftune_noise_alpha torch_compile "
        "use_liger_kernel"
    )
    arguments = {name: setting(config, name) for name in same.split()}
    try:
        return _config_class(config)(
            output_dir=str(folder),
            # A share below 1 is a ratio to transformers, from 1 on a number of steps.
            warmup_steps=min(setting(config, "warmup_ratio"), _ALMOST_ALL),
            seed=setting(config, "seed") % _SEEDS,
            activation_checkpointing=setting(config, "gradient_checkpointing"),
            activation_checkpointing_kwargs={"use_reentrant": False},
            save_strategy="steps",
            save_total_limit=None,
            logging_steps=1,
            # Off: a loss that is not a number must be seen, not replaced by the mean of the others.
            logging_nan_inf_filter=False,
            use_cpu=not gpu,
            bf16=bf16,
            dataloader_pin_memory=gpu,
            # Adapters on experts get no gradient where nothing is routed to them; every other adapter always has one.
            ddp_find_unused_parameters=sparse,
            disable_tqdm=True,
            report_to=[name for name in config.report_to if name != "tensorboard"] or "none",
            **arguments,
            **_of_the_objective(config),
        )
    except ValueError as error:
        raise InvalidArgument(
            f"A setting is not accepted: {str(error).splitlines()[0][:300]} Change it.", field="config"
        ) from error


def eval_batch(config: config_pb2.TrainingConfig) -> int:
    """Return how many preferences or verdicts are evaluated together; of verdicts two at least, to be compared."""
    size: int = setting(config, "per_device_train_batch_size")
    return max(size, 2) if objective(config) == "KTO" else size


def _config_class(config: config_pb2.TrainingConfig) -> Any:
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.sft_config import SFTConfig

    return {"SFT": SFTConfig, "PRETRAIN": SFTConfig, "DPO": DPOConfig, "KTO": KTOConfig}[objective(config)]


def _of_the_objective(config: config_pb2.TrainingConfig) -> dict[str, Any]:
    wanted = objective(config)
    if wanted in ("SFT", "PRETRAIN"):
        # Raw text is packed before it comes here.
        packing = setting(config, "packing") and wanted == "SFT"
        # Examples come with labels. Only packing has anything left to prepare.
        return {"packing": packing, "dataset_kwargs": {"skip_prepare_dataset": not packing}}
    found = {name: setting(config, name) for name in OBJECTIVE_DEFAULTS[wanted]}
    # What is held out is looked at in batches as large as those that are trained on.
    found["per_device_eval_batch_size"] = eval_batch(config)
    if wanted == "KTO":
        (found["loss_type"],) = found["loss_type"]
    else:
        found["loss_weights"] = found["loss_weights"] or None
    return found


def lora_config(config: config_pb2.TrainingConfig, blank: bool = False) -> Any:
    """Return PEFT's LoraConfig.

    Args:
        config: the run's settings.
        blank: leave the weights alone, whatever the adapter begins as: it will be given what it began as.
    """
    from peft import LoraConfig

    alpha, beginning = lora_setting(config, "lora_alpha"), lora_setting(config, "init_lora_weights")
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora_setting(config, "r"),
        lora_alpha=int(alpha) if alpha == int(alpha) else alpha,
        lora_dropout=lora_setting(config, "lora_dropout"),
        use_rslora=lora_setting(config, "use_rslora"),
        use_dora=lora_setting(config, "use_dora"),
        init_lora_weights=True if blank or beginning in ("true", "loftq") else beginning,
        target_modules=target_modules(config),
        modules_to_save=list(config.lora.modules_to_save) or None,
    )
