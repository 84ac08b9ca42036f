"""The whole flow on the sample documents: python samples/demo.py

Eight documents of a company that does not exist, a real small language model (SmolLM2-135M-Instruct) as the base
model, and the same model served on loopback as the LLM that writes the examples. Everything goes through the command
`ftf` and a server of its own in .demo/state. Exit code 0 means that there were enough good examples, that the tuned
model recalls the documents better than the base model, and that everything exported loads again.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from samples import model
from samples.stage import DemoFailed, Stage
from samples.teacher import NAME as TEACHER

ROOT = Path(__file__).resolve().parent.parent
# Below ROOT, where every command is run.
DEMO = Path(".demo")
BASE = Path(".cache") / "SmolLM2-135M-Instruct"
DOCUMENTS = Path("samples") / "documents"
FEWEST_EXAMPLES = 30
# What the 135M model can do: a question about a short passage at a time.
CHUNKS = ("--max-tokens", "128", "--overlap", "0")
EXAMPLES = ("--examples-per-chunk", "2", "--max-examples", "64", "--temperature", "0.3", "--recall-fraction", "0.15")
# Measured on 2 cores: the recall loss stops falling after the third pass.
TRAINING = ("--num-train-epochs", "4", "--learning-rate", "5e-4", "--max-length", "256")


@dataclass(frozen=True)
class Check:
    """One line of the verdict."""

    what: str
    found: str
    passed: bool


class Demo:
    """The steps, in order, and what they have proven so far."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._began = time.monotonic()
        self.checks: list[Check] = []
        self.seconds: list[tuple[str, float]] = []

    def step(self, title: str, does: Callable[[], None]) -> None:
        """Run one step under a heading and remember how long it took."""
        begin = time.monotonic()
        print(f"\n━━ {title} {'━' * max(3, 90 - len(title))}  {self.elapsed():.0f} s", flush=True)
        does()
        self.seconds.append((title, time.monotonic() - begin))

    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._began

    def documents(self) -> None:
        """Documents in, chunks out."""
        self._stage.ftf("project", "create", "demo", "--display-name", "Tarnfield Instruments")
        self._stage.ftf("model", "add", BASE, "--id", "smollm2")
        self._stage.ftf("upload", *sorted(DOCUMENTS.iterdir()))
        self._stage.ftf("chunk", "--model", "smollm2", *CHUNKS)

    def examples(self, url: str) -> None:
        """Chunks in, a frozen dataset out."""
        self._stage.ftf("llm", "create", "teacher", "--url", url, "--llm-model", TEACHER, "--max-concurrency", "2")
        self._stage.ftf("dataset", "preview", "--calls", "2", *EXAMPLES)
        self._stage.ftf("dataset", "generate", "--id", "facts", *EXAMPLES)
        self._stage.ftf("dataset", "stats", "facts")
        accepted = int(self._stage.facts("dataset", "stats", "facts")["accepted"])
        found = f"{accepted}, at least {FEWEST_EXAMPLES} wanted"
        self.checks.append(Check("examples accepted", found, accepted >= FEWEST_EXAMPLES))

    def training(self) -> None:
        """A dataset in, an adapter out, base model against tuned model."""
        self._stage.ftf("hardware", "--model", "smollm2")
        self._stage.ftf("train", "--model", "smollm2", "--id", "first", "--watch", *TRAINING)
        self._stage.ftf("report", "first", "-o", DEMO / "report")
        run = self._stage.facts("runs", "first")
        for name in ("recall", "generalise"):
            self.checks.append(compared(name, run["result"]["evaluation"][name]))
        for name, field in (("training", "training_peak_memory_bytes"), ("evaluation", "evaluation_peak_memory_bytes")):
            expected, measured = run["estimate"][f"{name}_memory_bytes"], float(run["result"].get(field, 0))
            self.checks.append(estimated(f"memory of the {name}", expected, measured))

    def exports(self) -> None:
        """An adapter, a merged model and a GGUF file out, fetched and loaded again by other programs."""
        question = self._question()
        for form in ("adapter", "merged"):
            folder = DEMO / form
            self._stage.ftf("export", "first", "--format", form, "--id", form, "--watch")
            self._stage.ftf("download", form, "-o", folder)
            base = ("--base", BASE) if form == "adapter" else ()
            said = self._stage.python("samples/answer.py", folder, question, *base)
            print(f"\n  loaded again from {folder}\n  asked: {question}\n  said:  {said}", flush=True)
            self.checks.append(Check(f"{form} loads again", said[:60] or "no answer", bool(said)))
        self._gguf()

    def _gguf(self) -> None:
        """The tuned model for llama.cpp, which has to answer as the tuned model does before it is offered."""
        self._stage.ftf("export", "first", "--format", "gguf", "--quantization", "Q8_0", "--id", "gguf", "--watch")
        self._stage.ftf("download", "gguf", "-o", DEMO / "gguf")
        self._stage.ftf("verify", DEMO / "gguf")
        proof = self._stage.facts("exports", "gguf")["result"]["gguf"]
        found = f"{float(proof['divergence']):.4f} nats, {float(proof['divergence_bound']):.2g} allowed"
        self.checks.append(Check("GGUF Q8_0 in llama.cpp", found, True))

    def _question(self) -> str:
        """Return a question kept back about a document that was trained on, or else one of another document."""
        samples = self._stage.facts("runs", "first")["result"]["evaluation"].get("samples", [])
        samples.sort(key=lambda sample: sample["set"] != "recall")
        return str(samples[0]["prompt"]) if samples else "Where is the Kestrel 40 built?"


def make_base() -> None:
    """Make the base model, if it is not there."""
    if not BASE.exists():
        print(f"\nSmolLM2-135M-Instruct is made once, from its 4-bit GGUF, in {BASE}: about half a minute.", flush=True)
    model.make(BASE)


def compared(name: str, score: dict[str, Any]) -> Check:
    """Return whether the tuned model's loss is below the base model's; for documents held out it is only told."""
    base, tuned = float(score["base_loss"]), float(score["tuned_loss"])
    what = {"recall": "loss on questions kept back", "generalise": "loss on documents held out"}[name]
    found = f"{base:.3f} → {tuned:.3f} over {score['examples']} examples"
    return Check(what, found, tuned < base if name == "recall" else True)


def estimated(what: str, expected: dict[str, Any], measured: float) -> Check:
    """Return what was estimated beside what was measured; it is only told."""
    low, high = (float(expected[end]) / 2**30 for end in ("low", "high"))
    where = "within" if low <= measured / 2**30 <= high else "outside"
    found = f"{low:.1f} to {high:.1f} GiB estimated, {measured / 2**30:.1f} GiB measured: {where}"
    return Check(what, found, True)


def verdict(demo: Demo, failure: str) -> int:
    """Print what took how long and what was proven; return the exit code."""
    print(f"\n━━ Verdict {'━' * 83}\n")
    for title, seconds in demo.seconds:
        print(f"  {title:<42} {seconds:6.0f} s")
    print(f"  {'total':<42} {demo.elapsed():6.0f} s\n")
    for check in demo.checks:
        print(f"  {'✓' if check.passed else '✗'} {check.what:<30} {check.found}")
    if failure:
        print(f"  ✗ {failure}")
    _tell_places()
    good = not failure and all(check.passed for check in demo.checks)
    print(f"\n  {'All of it worked.' if good else 'The demo failed.'}", flush=True)
    return 0 if good else 1


def _tell_places() -> None:
    """Print where what was made is, and how to look at it further."""
    report, made = DEMO / "report", [DEMO / name for name in ("adapter", "merged", "gguf")]
    if (report / "report.md").exists():
        print(f"\n  The report:  {report / 'report.html'}, {report / 'report.md'}")
        print(f"  The weights: {', '.join(str(path) for path in made if path.exists())}")
        print(f"  Look further: FTF_STATE={DEMO / 'state'} .venv/bin/ftf up, see docs/index.md")


def main() -> int:
    """Run the demo from a fresh state; the model and the environment stay from one time to the next."""
    signal.signal(signal.SIGTERM, interrupted)
    os.chdir(ROOT)
    stage = Stage(DEMO / "state", "demo")
    if stage.serves():
        print(
            f"A server runs on {DEMO / 'state'}, which the demo begins anew. End it first, with Ctrl-C in its terminal."
        )
        return 1
    stage.end_leftovers()
    if DEMO.exists():
        print(f"Removing what the last demo left in {DEMO}.")
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    demo, failure = Demo(stage), ""
    try:
        demo.step("The base model", make_base)
        with stage.server():
            demo.step("Documents to chunks", demo.documents)
            with stage.teacher(DEMO / "teacher.log") as url:
                demo.step("Chunks to examples", lambda: demo.examples(url))
            demo.step("Examples to a tuned model", demo.training)
            demo.step("Weights to take away", demo.exports)
    except DemoFailed as error:
        failure = str(error)
    except KeyboardInterrupt:
        failure = "interrupted"
    return verdict(demo, failure)


def interrupted(number: int, frame: FrameType | None) -> None:
    """Take SIGTERM as Ctrl-C, so that everything started is ended."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
