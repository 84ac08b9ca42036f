"""From the start of the trainer to its first step: python -m tests.bench.first_step [--model DIR] [--pairs N]

Starts the trainer's program as the server does, and a bare TRL script with the same model, data and settings, in turn
(ABBA), and prints the seconds from the start of the process until its first step is done: for the trainer, until the
service has heard of it. Processes are new, files are in the disk's cache. Without --model a tiny one is made, so that
nearly all of it is the libraries' imports. Ends in about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from finetuneflow.training.v1 import config_pb2
from tests.fakes.tiny_model import tiny_model
from tests.fakes.worker_host import LAUNCH_TOKEN, WorkerHost
from tests.trainer.runs import rows, train_spec, write_dataset

BARE = """
import json, os, sys
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer
import torch

class Say(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        print("STEP", flush=True)
        os._exit(0)

model, data, folder = sys.argv[1:]
found = [json.loads(line) for line in open(data)]
gpu = torch.cuda.is_available()
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
    args=SFTConfig(output_dir=folder, max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=2,
                   learning_rate=2e-4, max_length=128, bf16=False, use_cpu=not gpu, activation_checkpointing=False,
                   dataloader_pin_memory=gpu, disable_tqdm=True, report_to="none"),
    train_dataset=Dataset.from_list([{"messages": f["messages"]} for f in found if f["split"] == "TRAIN"]),
    processing_class=AutoTokenizer.from_pretrained(model),
    peft_config=LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"),
)
trainer.add_callback(Say())
trainer.train()
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a model; a tiny one is made if it is left out")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of starts")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = chosen.model or tiny_model(folder / "tiny")
        dataset = write_dataset(folder / "dataset.jsonl", rows())
        both = (ours, bare)
        for start in both:
            start(model, dataset, folder)
        found = []
        for pair in range(chosen.pairs):
            order = both if pair % 2 == 0 else both[::-1]
            took = {start: start(model, dataset, folder) for start in order}
            found.append((took[ours], took[bare]))
    print(f"{'pair':<6}{'trainer':>9}{'bare TRL':>10}{'ratio':>8}   seconds to the first step")
    for number, (one, other) in enumerate(found, start=1):
        print(f"{number:<6}{one:>9.2f}{other:>10.2f}{one / other:>8.2f}")
    ratios = [one / other for one, other in found]
    print(f"trainer: {statistics.median(ratios):.2f} times the bare script ({min(ratios):.2f} to {max(ratios):.2f})")


def ours(model: Path, dataset: Path, folder: Path) -> float:
    """Start the trainer; return the seconds until the service has heard of its first step."""
    config = config_pb2.TrainingConfig(max_steps=2, max_length=128, logging_steps=1)
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "secrets").mkdir()
    (place / "secrets" / "launch_token").write_text(LAUNCH_TOKEN, encoding="utf-8")
    with WorkerHost(place / "objects", train_spec(dataset, model, config)) as host:
        told = {
            "FTF_ADDRESS": host.address,
            "FTF_WORK": host.work,
            "FTF_POD_UID": "pod",
            "FTF_SECRETS_DIR": str(place / "secrets"),
            "FTF_WORK_DIR": str(place / "work"),
        }
        return until_first([sys.executable, "-m", "services.trainer", "train"], told, host)


def bare(model: Path, dataset: Path, folder: Path) -> float:
    """Start the script; return the seconds until it says that its first step is done."""
    out = tempfile.mkdtemp(dir=folder)
    return until_first([sys.executable, "-c", BARE, str(model), str(dataset), out], {}, None)


def until_first(command: list[str], told: dict[str, str], host: WorkerHost | None) -> float:
    """Run a program to its first step, end it there, and return the seconds."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        variables = {**os.environ, "HF_HUB_OFFLINE": "1", **told}
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            if host is None:
                seen = any(line.strip() == "STEP" for line in process.stdout)
            else:
                while not host.curve() and process.poll() is None:
                    time.sleep(0.01)
                seen = bool(host.curve())
            took = time.perf_counter() - began
        finally:
            process.kill()
            process.communicate()
        log.seek(0)
        if not seen:
            raise SystemExit(f"There was no first step: {json.dumps(log.read()[-800:])}")
    return took


if __name__ == "__main__":
    main()
