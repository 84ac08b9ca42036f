"""The figures of a GPU, in one table: python -m tests.bench.gpu [--folder DIR] [--steps N] [--pairs N] [--small]

Makes an 8B model in the shape of Llama 3 with random weights (16 GB of disk in --folder, kept there) and trains it by
the trainer's own code: LoRA in bfloat16 on packed sequences of 4096 tokens, and QLoRA on the same. Prints tokens a
second, the share of the GPU's published speed (MFU), peak memory beside what it was estimated to be, and the share of
the time that our callbacks took. MFU is told twice: by the operations that LoRA needs (weights that stay get no
gradient: 4 for each weight and token) and as if all were trained (6), as most tables count. What gradient checkpointing
computes again is in neither. The last column is LoRA alone: how much longer a step takes than in a bare TRL script with
the same model, data and settings, of --pairs pairs of runs in turn, median and range; full sequences, one a batch, two
a step, and the service at the other end in a process of its own. --pairs 0 leaves it out.

Needs a GPU with 80 GB, and says so where there is none. --small tries the script itself with a small model, anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from finetuneflow.training.v1 import config_pb2
from services.hardware.core_memory import Device, Plan
from services.hardware.core_parameters import shape
from services.hardware.core_peaks import training_peaks
from services.hardware.core_range import Range
from services.hardware.core_speed import _GPUS, _forward
from services.hardware.core_trained import Target
from services.trainer.logs import quiet_libraries
from services.trainer.measuring import begin_stretch, peak_memory_bytes
from services.trainer.model import dtype_for, load_model, load_quantised, load_tokenizer, source_of
from services.trainer.train import train
from tests.bench.alone import Steps, alone, examples
from tests.bench.step_overhead import Bench, run_pairs, service, slower, spread
from tests.fakes.tiny_model import tiny_model

LARGE = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "vocab_size": 128256}
SMALL = {"hidden_size": 256, "intermediate_size": 896, "num_hidden_layers": 4, "vocab_size": 8192}
WARM = 2
"""Steps before the clock is started."""
GB = 1e9


@dataclass(frozen=True)
class Found:
    """One training: tokens a second, bytes at most and as estimated, our share of the time, and how much slower."""

    speed: float
    peak: int
    estimated: Range
    share: float
    slower: str = "-"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the model is made and kept; a new one that goes if left out")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument(
        "--pairs", type=int, default=5, help="pairs of runs beside a bare script, at least 3; 0 for none"
    )
    parser.add_argument("--small", action="store_true", help="a small model, to try the script")
    chosen = parser.parse_args()
    if not torch.cuda.is_available() and not chosen.small:
        print("This needs an NVIDIA GPU with 80 GB, and there is none here: nothing was measured.")
        return 1
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    quiet_libraries()
    length = 256 if chosen.small else 4096
    with tempfile.TemporaryDirectory() as scratch:
        model = make((chosen.folder or Path(scratch)) / "model", SMALL if chosen.small else LARGE)
        found = {method: measure(model, method, length, chosen.steps) for method in ("LORA", "QLORA")}
        if chosen.pairs:
            told = beside_bare(model, length, chosen.steps, chosen.pairs, Path(scratch))
            found["LORA"] = replace(found["LORA"], slower=told)
        show(found, model, length)
    return 0


def make(folder: Path, sizes: dict[str, int]) -> Path:
    """Write the model in bfloat16, if it is not there."""
    if (folder / "config.json").exists():
        return folder
    tiny_model(folder)
    (folder / "model.safetensors").unlink()
    heads = {
        "num_attention_heads": sizes["hidden_size"] // 128,
        "num_key_value_heads": sizes["hidden_size"] // 512 or 1,
    }
    config = LlamaConfig(**sizes, **heads, max_position_embeddings=8192, bos_token_id=0, eos_token_id=2)
    config.dtype = torch.bfloat16
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
    model.to("cpu").save_pretrained(folder)
    return folder


def measure(model: Path, method: str, length: int, steps: int) -> Found:
    """Train by one method."""
    config = config_pb2.TrainingConfig(
        method=config_pb2.Method.Value(f"METHOD_{method}"),
        lora=config_pb2.LoraConfig(r=16),
        max_steps=WARM + steps,
        max_length=length,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        packing=True,
        gradient_checkpointing=True,
        bf16=True,
        save_steps=1_000_000,
    )
    dtype, source, clock = dtype_for(True), source_of(str(model), ""), Steps(WARM)
    load = load_quantised if method == "QLORA" else load_model
    settings = json.loads((model / "config.json").read_text())
    # Eight examples fill a sequence.
    made = examples([length // 8] * 8 * (WARM + steps), settings["vocab_size"])
    begin_stretch()
    folder = Path(tempfile.mkdtemp())
    training = alone(config, folder, source, lambda: load(source, dtype), callbacks=(clock,))
    totals = train(training, load(source, dtype), load_tokenizer(source), made).totals
    peak = peak_memory_bytes()
    shutil.rmtree(folder, ignore_errors=True)
    plan = Plan(Target(method=method, r=16), 1, 1, length, gradient_checkpointing=True, bf16=True, packing=True)
    found = shape(settings)
    estimated = training_peaks(found, found.parameters, plan, Range.exactly(length // 8), device())
    return Found(steps * length / clock.seconds, peak, estimated, totals.platform_seconds / totals.train_seconds)


def beside_bare(model: Path, length: int, steps: int, pairs: int, folder: Path) -> str:
    """Train by LoRA here and in a bare script, in turn; return how much longer a step takes here."""
    settings, source = json.loads((model / "config.json").read_text()), source_of(str(model), "")
    config = config_pb2.TrainingConfig(
        max_steps=steps,
        max_length=length,
        per_device_train_batch_size=1,
        gradient_checkpointing=True,
        bf16=True,
        save_steps=50,
    )
    made = examples([length] * 16, settings["vocab_size"])
    with service(folder / "objects") as address:
        bench = Bench(source, load_tokenizer(source), made, config, address, folder)
        return spread(slower(run_pairs(bench, pairs)), "+.2f")


def device() -> Device:
    """The GPU, or the processor."""
    if not torch.cuda.is_available():
        return Device("cpu", 1 << 40, 1 << 40, cores=torch.get_num_threads())
    free, total = torch.cuda.mem_get_info()
    return Device("cuda", total, free, bf16=torch.cuda.is_bf16_supported(), product=torch.cuda.get_device_name())


def show(found: dict[str, Found], model: Path, length: int) -> None:
    """Print the table."""
    form, product = shape(json.loads((model / "config.json").read_text())), device().product
    peak = next((speed for name, speed in _GPUS if name in product.lower()), 0.0)
    print(f"{product or 'no GPU'}, {form.parameters / 1e9:.2f}B weights, packed {length}, gradient checkpointing, r 16")
    print(
        f"{'':<7}{'tokens/s':>9}{'MFU, 4':>8}{'MFU, 6':>8}{'peak, GB':>10}{'estimated, GB':>22}{'error':>8}{'ours':>9}"
        "   beside a bare script"
    )
    for name, one in found.items():
        shares = [passes * _forward(form, length) * one.speed / peak if peak else 0 for passes in (2, 3)]
        used = "".join(f"{share:>8.1%}" if peak else f"{'-':>8}" for share in shares)
        low, likely, high = (v / GB for v in (one.estimated.low, one.estimated.likely, one.estimated.high))
        told = f"{likely:.2f} ({low:.2f} to {high:.2f})"
        error = one.estimated.likely / one.peak - 1
        memory = f"{one.peak / GB:>10.2f}{told:>22}{error:>+8.0%}"
        print(f"{name:<7}{one.speed:>9.0f}{used}{memory}{one.share:>9.3%}   {one.slower}")


if __name__ == "__main__":
    sys.exit(main())
