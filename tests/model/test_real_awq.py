"""AWQ weights of the real pretrained model."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.optionalpart import AWQ
from services.trainer.awqexport import export_awq
from services.trainer.model import source_of

pytestmark = [pytest.mark.model, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


@pytest.mark.skipif(not AWQ.is_here(), reason='needs pip install "finetuneflow[awq]"')
def test_a_real_model_in_4_bits_still_knows_what_it_knew(base: Path, tmp_path: Path) -> None:
    """Within the bound, at less than a quarter of the size; rows of 576 leave groups of 64."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    settings = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear")
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.003)
    tuned.save_pretrained(tmp_path / "adapter")
    out = tmp_path / "out"
    out.mkdir()
    result = export_awq(source_of(str(base), ""), tmp_path / "adapter", out, tmp_path / "scratch", lambda: None)
    size = sum(path.stat().st_size for path in out.iterdir())

    assert result.awq.group_size == 64
    assert result.awq.divergence < result.awq.divergence_bound
    assert size < (base / "model.safetensors").stat().st_size / 4
