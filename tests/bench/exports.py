"""Seconds and peak memory of exports against the size of the model: python -m tests.bench.exports [--layers N N …]

Makes Llamas of width 512 with so many layers (3.4 million weights each, random, float32) and an adapter on every
matrix, exports them as adapter, merged and GGUF Q8_0, each in a process of its own, proof included, and prints seconds
and the peak memory above what the libraries take, also as a multiple of the weights' bytes. `streamed` is merged as if
no memory were free, in files of 8 MB: its proof reads each layer when it is used. `writing` is the peak while the
merged files are written, before the proof. Ends in about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.trainer.logs import quiet_libraries
from tests.fakes.tiny_model import tiny_model

FORMATS = ("adapter", "merged", "streamed", "gguf")
MB = 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 32], help="layers of each model")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    quiet_libraries()
    if chosen.one:
        form, model, out = chosen.one
        print(json.dumps(export(form, Path(model), Path(out))))
        return
    print(
        f"{'model, MB':>9}  {'format':<8}{'seconds':>8}{'peak, MB':>10}{'× model':>9}{'writing, MB':>13}{'× model':>9}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for layers in chosen.layers:
            model = make(Path(scratch) / str(layers), layers)
            size = (model / "model.safetensors").stat().st_size
            for form in FORMATS:
                out = tempfile.mkdtemp(dir=scratch)
                command = [sys.executable, "-m", "tests.bench.exports", "--one", form, str(model), out]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                took, peak, writing = json.loads(done.stdout.splitlines()[-1])
                line = f"{size / MB:>9.0f}  {form:<8}{took:>8.1f}{peak / MB:>10.0f}{peak / size:>9.2f}"
                print(line + (f"{writing / MB:>13.0f}{writing / size:>9.2f}" if writing else ""), flush=True)


def make(folder: Path, layers: int) -> Path:
    """Write a model, and its adapter into the folder `adapter` below."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    tiny_model(folder)
    sizes = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": layers, "num_attention_heads": 8}
    config = AutoConfig.from_pretrained(folder, **sizes, num_key_value_heads=8, head_dim=64)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    adapter = LoraConfig(task_type="CAUSAL_LM", r=8, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, adapter).save_pretrained(folder / "adapter")
    return folder


def export(form: str, model: Path, out: Path) -> tuple[float, int, int]:
    """Export in this process; return seconds, and bytes above the libraries: at most, and while files are written."""
    from services.trainer import ggufexport, merge
    from services.trainer.measuring import begin_stretch, libraries_memory_bytes, peak_memory_bytes
    from services.trainer.model import source_of

    libraries, source = libraries_memory_bytes(), source_of(str(model), "")
    begin_stretch()
    began = time.perf_counter()
    if form == "gguf":
        (out / "files").mkdir()
        parts = (model / "adapter", out / "files", out / "scratch")
        result = ggufexport.export_gguf(source, *parts, "Q8_0", lambda: None)
    else:
        write: Callable[..., Any] = merge.export_merged if form == "merged" else merge.export_adapter
        if form == "streamed":
            write = functools.partial(merge.export_merged, shard_bytes=8_000_000, free=0)
        result = write(source, model / "adapter", out, lambda: None)
    writing = result.merge_peak_memory_bytes
    took = time.perf_counter() - began
    return took, peak_memory_bytes() - libraries, writing - libraries if writing else 0


if __name__ == "__main__":
    main()
