"""What FineTuneFlow costs a training step: python -m tests.bench.step_overhead [--model DIR] [--steps N] [--pairs N]

Two measurements of the same training, printed, with no verdict:

1. inside: seconds in our callbacks, and processor time of our report and upload threads, over seconds of training;
2. outside: our training against a bare TRL script with the same model, data and settings, interleaved (ours, bare,
   bare, ours, …), as the ratio of each pair, median and range: seconds a step, and, steadier on a machine that does
   other things too, the process's processor time a step.

The service at the other end runs in a process of its own. Without --model a tiny one is made: 16 examples take it a
tenth of a second, where real ones take seconds, so its share is an upper bound. Ends in less than five minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from finetuneflow.training.v1 import config_pb2, run_pb2
from services.common.chat.encode import Encoded, Encoder
from services.common.chat.rows import Row
from services.trainer.config import Launch, Patience
from services.trainer.logs import quiet_libraries
from services.trainer.model import Source, chat_of, dtype_for, load_model, load_tokenizer, local_folder, source_of
from services.trainer.reporter import Orders, Reporter
from services.trainer.train import Training, train
from services.trainer.uploads import CheckpointUploads
from services.trainer.worker import Worker
from tests.fakes.tiny_model import ENGLISH, tiny_model
from tests.fakes.worker_host import LAUNCH_TOKEN, WorkerHost

WORK = "projects/p/runs/r"


@dataclass(frozen=True)
class Bench:
    """What both trainings share."""

    source: Source
    tokenizer: Any
    examples: list[Encoded]
    config: config_pb2.TrainingConfig
    address: str
    folder: Path

    @property
    def dtype(self) -> torch.dtype:
        """What both compute in."""
        found: torch.dtype = dtype_for(self.config.bf16)
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a model; a tiny one is made if it is left out")
    parser.add_argument("--steps", type=int, default=0, help="optimizer steps of a run; default 60, 5 with --model")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs, at least 3")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.serve)
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    quiet_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        steps = arguments.steps or (5 if arguments.model else 60)
        with service(folder / "objects") as address:
            model = arguments.model or tiny_model(folder / "tiny")
            batch = 2 if arguments.model else 8
            measure(prepare(model, steps, batch, address, folder), arguments.pairs)
    return None


@contextlib.contextmanager
def service(objects: Path) -> Iterator[str]:
    """Answer trainers in a process of its own while the body runs; yield its address."""
    command = [sys.executable, "-m", "tests.bench.step_overhead", "--serve", str(objects)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.communicate()


def serve(objects: Path) -> None:
    """Answer trainers until stdin ends."""
    with WorkerHost(objects, run_pb2.TrainSpec(run=WORK)) as host:
        sys.stdout.write(host.address + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def prepare(model: Path, steps: int, batch: int, address: str, folder: Path) -> Bench:
    """Encode 64 examples; settings are the defaults but for steps and batch."""
    source = source_of(str(model), "")
    tokenizer = load_tokenizer(source)
    rows = [
        Row(
            f"e{n}",
            "TRAIN",
            (
                {"role": "user", "content": f"Question {n}: {ENGLISH[n % 8]} What does it say?"},
                {"role": "assistant", "content": f"{ENGLISH[(n + 1) % 8]} {ENGLISH[(n + 3) % 8]}"},
            ),
        )
        for n in range(64)
    ]
    encoder = Encoder(chat_of(tokenizer), rows, 512, assistant_only=True)
    config = config_pb2.TrainingConfig(max_steps=steps, save_steps=50, per_device_train_batch_size=batch)
    return Bench(source, tokenizer, [encoder.encode(r) for r in rows], config, address, folder)


@dataclass(frozen=True)
class Cost:
    """What a step took, in seconds: on the clock, of the processors; our share of the clock's; and of a whole run,
    the processors' seconds after its last step, which are the last checkpoint's."""

    wall: float
    cpu: float
    share: float = 0.0
    saving: float = 0.0


class Clock(TrainerCallback):
    """Times a training's loop, by the clock and by the process's processor time."""

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Start."""
        self.began = time.perf_counter(), time.process_time()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Remember the last step's end."""
        self.stepped = time.process_time()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop."""
        self.wall = (time.perf_counter() - self.began[0]) / state.max_steps
        self.cpu = (time.process_time() - self.began[1]) / state.max_steps
        self.saving = time.process_time() - self.stepped


def measure(bench: Bench, pairs: int) -> None:
    """Run the pairs and print."""
    found = run_pairs(bench, pairs)
    step = statistics.median(one.wall for one, _ in found)
    shares = [100 * one.share for one, _ in found]
    print(f"model {bench.source.name}, {bench.config.max_steps} steps a run, {torch.get_num_threads()} threads")
    print(f"in our callbacks and threads: {spread(shares, '.3f')} of training; aim 0.5 %")
    print(f"  that is {10 * statistics.median(shares) * step:.3f} ms of a step of {1e3 * step:.1f} ms")
    print(f"against a bare TRL script, time: {spread(slower(found), '+.2f')}")
    print(f"against a bare TRL script, processors: {spread([100 * (a.cpu / b.cpu - 1) for a, b in found], '+.2f')}")


def slower(found: list[tuple[Cost, Cost]]) -> list[float]:
    """Return by how many percent each pair's step takes longer here, by the clock."""
    return [100 * (one.wall / other.wall - 1) for one, other in found]


def run_pairs(bench: Bench, pairs: int) -> list[tuple[Cost, Cost]]:
    """Run one pair to warm up, then the pairs, three at least, in the order ABBA; return ours and the bare script's."""
    ours(bench)
    bare(bench)
    found: list[tuple[Cost, Cost]] = []
    for pair in range(max(pairs, 3)):
        if pair % 2 == 0:
            one, other = ours(bench), bare(bench)
        else:
            other, one = bare(bench), ours(bench)
        found.append((one, other))
        print(f"pair {pair + 1}: {1e3 * one.wall:.2f} ms a step, bare {1e3 * other.wall:.2f} ms", flush=True)
    return found


def spread(values: list[float], form: str) -> str:
    """Return the median of percentages, with their range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} % ({low:{form}} to {high:{form}} %, {len(values)} runs)"


def ours(bench: Bench) -> Cost:
    """Train as the trainer does."""
    pod = f"pod-{time.monotonic_ns()}"
    folder = bench.folder / pod
    folder.mkdir()
    patience, orders, clock = Patience(), Orders(), Clock()
    worker = Worker(Launch(bench.address, WORK, pod, LAUNCH_TOKEN, folder), patience)
    begun = worker.begin()
    reporter = Reporter(worker, folder, begun.last_seq, patience, orders)
    reporter.start()
    uploads = CheckpointUploads(worker, patience, reporter.stored)
    uploads.start()
    training = Training(
        config=bench.config,
        folder=folder / "checkpoints",
        base_name="base",
        load_base=lambda: load_model(bench.source, bench.dtype),
        weights_folder=lambda: local_folder(bench.source),
        resume=None,
        reporter=reporter,
        orders=orders,
        uploads=uploads,
        callbacks=(clock,),
    )
    model = load_model(bench.source, bench.dtype)
    totals = train(training, model, copy.deepcopy(bench.tokenizer), bench.examples).totals
    uploads.wait()
    reporter.drain()
    uploads.close()
    reporter.close()
    worker.close()
    return Cost(clock.wall, clock.cpu, totals.platform_seconds / totals.train_seconds, clock.saving)


def bare(bench: Bench) -> Cost:
    """Train as a plain script with TRL would."""
    gpu = torch.cuda.is_available()
    arguments = SFTConfig(
        output_dir=str(bench.folder / f"bare-{time.monotonic_ns()}"),
        max_steps=bench.config.max_steps,
        per_device_train_batch_size=bench.config.per_device_train_batch_size,
        gradient_accumulation_steps=2,
        learning_rate=2e-4,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        logging_steps=1,
        save_steps=50,
        max_length=bench.config.max_length or 512,
        bf16=bench.dtype == torch.bfloat16,
        use_cpu=not gpu,
        activation_checkpointing=bench.config.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        dataloader_pin_memory=gpu,
        dataset_kwargs={"skip_prepare_dataset": True},
        disable_tqdm=True,
        report_to="none",
    )
    examples = bench.examples
    trainer = SFTTrainer(
        model=load_model(bench.source, bench.dtype),
        args=arguments,
        train_dataset=Dataset.from_dict(
            {"input_ids": [e.input_ids for e in examples], "labels": [e.labels for e in examples]}
        ),
        processing_class=copy.deepcopy(bench.tokenizer),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"),
    )
    clock = Clock()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    return Cost(clock.wall, clock.cpu, saving=clock.saving)


if __name__ == "__main__":
    main()
