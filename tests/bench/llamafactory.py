"""A training step here and in LLaMA-Factory: python -m tests.bench.llamafactory --python PYTHON [--pairs N]

The same LoRA fine-tuning of the same model on the same conversations, interleaved (ours, theirs, theirs, ours, …), as
the ratio of each pair, median and range: seconds a step, and processor time a step. Beside each pair a bare script of
TRL's trainer, which is what ours trains with, shows how much of a difference is the trainer's. Evaluation, reports and
start-up lie outside of what is timed; the last checkpoint is timed apart. Both train on the answers alone, in
float32 on a CPU, without gradient checkpointing; ours tells a service in another process what it does. Lengths may
differ by LLaMA-Factory's own chat template and padding, so tokens a step are printed.

LLaMA-Factory wants older libraries than this project, so it has an environment of its own:

    python -m venv lf && lf/bin/pip install llamafactory==0.9.5

and PYTHON is lf/bin/python. Without it nothing is measured. Without --model a tiny one is made. Ends in five minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from services.trainer.logs import quiet_libraries
from tests.bench.step_overhead import Bench, Cost, bare, ours, prepare, service, spread
from tests.fakes.tiny_model import tiny_model

SIDE = Path(__file__).with_name("llamafactory_side.py")
MISSING = """LLaMA-Factory is not there, so nothing is measured. It needs an environment of its own:
  python -m venv lf && lf/bin/pip install llamafactory==0.9.5
  python -m tests.bench.llamafactory --python lf/bin/python"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, help="Python of an environment with LLaMA-Factory")
    parser.add_argument("--model", type=Path, help="folder of a model with a ChatML template; a tiny one if left out")
    parser.add_argument("--steps", type=int, default=0, help="optimizer steps of a run; default 40, 5 with --model")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs, at least 5")
    arguments = parser.parse_args()
    if not has_llamafactory(arguments.python):
        return print(MISSING)
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    quiet_libraries()
    steps = arguments.steps or (5 if arguments.model else 40)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with service(folder / "objects") as address:
            model = arguments.model or tiny_model(folder / "tiny")
            bench = prepare(model, steps, 2 if arguments.model else 8, address, folder)
            write_settings(bench, model, folder)
            side = [str(arguments.python), "-P", str(SIDE), str(folder)]
            with (
                (folder / "side.log").open("w") as log,
                subprocess.Popen(side, stderr=log, env=alone(), **pipes) as other,
            ):
                try:
                    measure(bench, other, max(arguments.pairs, 5))
                finally:
                    other.communicate()
    return None


def has_llamafactory(python: Path | None) -> bool:
    """Whether a Python is there that has it."""
    find = "import importlib.util, sys; sys.exit(importlib.util.find_spec('llamafactory') is None)"
    return python is not None and python.exists() and subprocess.run([python, "-c", find], check=False).returncode == 0


def alone() -> dict[str, str]:
    """The environment of the other side: this project's code is not in it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def write_settings(bench: Bench, model: Path, folder: Path) -> None:
    """Write the conversations, and the settings of tests.bench.step_overhead by LLaMA-Factory's names."""
    lines = [{"messages": [dict(message) for message in example.row.messages]} for example in bench.examples]
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    form = {"file_name": "lines.json", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    settings = {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": str(model),
        "template": "chatml",
        "dataset": "lines",
        "dataset_dir": str(folder),
        "cutoff_len": 512,
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "output_dir": str(folder / "theirs"),
        "max_steps": bench.config.max_steps,
        "per_device_train_batch_size": bench.config.per_device_train_batch_size,
        "gradient_accumulation_steps": 2,
        "learning_rate": 2e-4,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "logging_steps": 1,
        "save_steps": 50,
        "seed": 42,
        "use_cpu": True,
        "disable_gradient_checkpointing": True,
        "include_num_input_tokens_seen": "all",
        "disable_tqdm": True,
        "report_to": "none",
    }
    for name, content in (("lines.json", lines), ("dataset_info.json", {"lines": form}), ("settings.json", settings)):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def theirs(other: subprocess.Popen[str], bench: Bench) -> dict[str, float]:
    """Have LLaMA-Factory train once.

    Raises:
        SystemExit: it ended; the end of its log is printed.
    """
    assert other.stdin is not None
    assert other.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        other.stdin.write("train\n")
        other.stdin.flush()
    line = other.stdout.readline()
    if not line:
        sys.exit("LLaMA-Factory ended:\n" + (bench.folder / "side.log").read_text(encoding="utf-8")[-3000:])
    found: dict[str, float] = json.loads(line)
    return found


def measure(bench: Bench, other: subprocess.Popen[str], pairs: int) -> None:
    """Run one pair to warm up, then the pairs, in the order ABBA; print."""
    assert other.stdout is not None
    print(f"model {bench.source.name}, {bench.config.max_steps} steps a run, {torch.get_num_threads()} threads")
    print(f"theirs: {other.stdout.readline().strip()}", flush=True)
    ours(bench)
    first = theirs(other, bench)
    batch = 2 * bench.config.per_device_train_batch_size
    tokens = batch * statistics.mean(len(example.input_ids) for example in bench.examples)
    print(f"tokens a step: ours {tokens:.0f} before padding, theirs with it {first['tokens']:.0f}")
    bare(bench)
    found: list[tuple[Cost, Cost, Cost]] = []
    for pair in range(pairs):
        one = ours(bench) if pair % 2 == 0 else None
        facts = theirs(other, bench)
        one = one or ours(bench)
        found.append((one, Cost(facts["wall"], facts["cpu"], saving=facts["saving"]), bare(bench)))
        print(f"pair {pair + 1}: {1e3 * one.wall:.2f} ms a step, theirs {1e3 * facts['wall']:.2f} ms", flush=True)
    steps = bench.config.max_steps
    for who, place in (("ours", 0), ("a bare TRL script", 2)):
        pairs_of = [(three[place], three[1]) for three in found]
        times = [100 * (a.wall / b.wall - 1) for a, b in pairs_of]
        processors = [100 * (a.cpu / b.cpu - 1) for a, b in pairs_of]
        stepping = [100 * ((a.cpu - a.saving / steps) / (b.cpu - b.saving / steps) - 1) for a, b in pairs_of]
        print(f"{who} against LLaMA-Factory, time: {spread(times, '+.2f')}")
        print(f"{who} against LLaMA-Factory, processors: {spread(processors, '+.2f')}")
        print(f"{who} against LLaMA-Factory, processors, without the last checkpoint: {spread(stepping, '+.2f')}")
    saving = [statistics.median(1e3 * three[place].saving for three in found) for place in (0, 1, 2)]
    print("last checkpoint, ms of processors: ours {:.0f}, theirs {:.0f}, bare {:.0f}".format(*saving))
    shares = [100 * three[0].share for three in found]
    print(f"in our callbacks and threads: {spread(shares, '.2f')} of training")


if __name__ == "__main__":
    main()
