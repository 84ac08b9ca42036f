"""Padded against packed: python -m tests.bench.packed [--model DIR] [--length N] [--batch N] [--pairs N]

Trains once through the same examples, whose lengths are those of a dataset of short answers (most short, a few as long
as max_length), padded and packed in turn (ABBA), and prints tokens a second: tokens of the examples, padding left out.
The ratio is by the clock and, steadier on a machine that does other things too, by processor time (on a GPU the clock
alone tells). Sequences that are packed lie behind each other in one row. Without --model a Llama of 6 layers is made.
Ends in about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch

from finetuneflow.training.v1 import config_pb2
from services.trainer.logs import quiet_libraries
from services.trainer.model import load_model, load_tokenizer, source_of
from services.trainer.train import train
from tests.bench.alone import alone, examples
from tests.bench.estimate_grid import make_model


def lengths(count: int, most: int) -> list[int]:
    """Return lengths that are spread log-normally around a fifth of the most, none above it."""
    draw = random.Random(0)
    return [max(8, min(most, round(draw.lognormvariate(math.log(most / 5), 0.7)))) for _ in range(count)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a model; one is made if it is left out")
    parser.add_argument("--length", type=int, default=512, help="max_length")
    parser.add_argument("--batch", type=int, default=4, help="sequences of a batch")
    parser.add_argument("--examples", type=int, default=64, help="examples to train on")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of trainings")
    chosen = parser.parse_args()
    quiet_libraries()
    sizes = lengths(chosen.examples, chosen.length)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = chosen.model or make_model("llama", folder / "llama")
        arguments = (model, folder / "run", sizes, chosen.length, chosen.batch)
        seconds(*arguments, True)
        found = []
        for pair in range(chosen.pairs):
            order = (False, True) if pair % 2 == 0 else (True, False)
            took = {packing: seconds(*arguments, packing) for packing in order}
            found.append((took[False], took[True]))
    show(found, sizes, f"batch {chosen.batch} × {chosen.length}")


def show(found: list[tuple[tuple[float, float], tuple[float, float]]], sizes: list[int], batch: str) -> None:
    """Print the pairs of (clock, processors), padded and packed."""
    tokens = sum(sizes)
    print(f"{len(sizes)} examples, {tokens} tokens, {batch}")
    print(f"{'pair':<6}{'padded':>10}{'packed':>10}{'ratio':>8}{'processors':>12}   tokens a second")
    clocks = [padded[0] / packed[0] for padded, packed in found]
    works = [padded[1] / packed[1] for padded, packed in found]
    for number, (padded, packed) in enumerate(found):
        speeds = f"{tokens / padded[0]:>10.0f}{tokens / packed[0]:>10.0f}"
        print(f"{number + 1:<6}{speeds}{clocks[number]:>8.2f}{works[number]:>12.2f}")
    for name, ratios in (("by the clock", clocks), ("by processor time", works)):
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"packed, {name}: {statistics.median(ratios):.2f} times as fast ({spread})")


def seconds(model: Path, folder: Path, sizes: list[int], length: int, batch: int, packing: bool) -> tuple[float, float]:
    """Train once through the examples and return the seconds on the clock and of the processors."""
    config = config_pb2.TrainingConfig(
        num_train_epochs=1,
        max_length=length,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=1,
        packing=packing,
        bf16=torch.cuda.is_available(),
        save_steps=1_000_000,
    )
    source = source_of(str(model), "")
    base, tokenizer = load_model(source, torch.float32), load_tokenizer(source)
    training = alone(config, folder, source, lambda: None)
    made = examples(sizes, base.config.vocab_size)
    before = time.process_time()
    done = train(training, base, copy.deepcopy(tokenizer), made)
    return done.totals.train_seconds, time.process_time() - before


if __name__ == "__main__":
    main()
