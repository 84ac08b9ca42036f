"""What the tests with the real model share: its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from samples import model

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "SmolLM2-135M-Instruct"


@pytest.fixture(scope="session")
def base() -> Path:
    """The base model's folder, made once."""
    model.make(FOLDER)
    return FOLDER


@pytest.fixture(scope="session")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an adapter that changes the base model a little, made once."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    settings = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear")
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.003)
    folder = tmp_path_factory.mktemp("adapter")
    tuned.save_pretrained(folder)
    return folder
