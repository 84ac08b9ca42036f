"""LLaMA-Factory's side of tests.bench.llamafactory: run by the Python that has it, which has nothing of this project.

The first argument is a folder with `settings.json`, LLaMA-Factory's own settings. Each line of standard input asks for
one training; each is answered by a line of JSON: wall and cpu, seconds a step; saving, the processor's
seconds after the last step; tokens of a step, padding among them.
The first line written names the versions.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("llamafactory", "torch", "transformers", "trl", "peft", "accelerate")


def main() -> None:
    """Answer until standard input ends."""
    settings = json.loads((Path(sys.argv[1]) / "settings.json").read_text(encoding="utf-8"))
    answers, sys.stdout = sys.stdout, sys.stderr  # what the libraries print is no answer
    tuner: Any = importlib.import_module("llamafactory.train.tuner")
    callback: Any = importlib.import_module("transformers").TrainerCallback

    class Clock(callback):  # type: ignore[misc]  # its class is known when it runs
        """Times a training's loop, by the clock and by the process's processor time."""

        def on_train_begin(self, *facts: Any, **kwargs: Any) -> None:
            """Start."""
            self.began = time.perf_counter(), time.process_time()

        def on_step_end(self, *facts: Any, **kwargs: Any) -> None:
            """Remember the last step's end."""
            self.stepped = time.process_time()

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Stop."""
            self.found = {
                "wall": (time.perf_counter() - self.began[0]) / state.max_steps,
                "cpu": (time.process_time() - self.began[1]) / state.max_steps,
                "saving": time.process_time() - self.stepped,
                "tokens": state.num_input_tokens_seen / state.max_steps,
            }

    print(" ".join(f"{name} {metadata.version(name)}" for name in PACKAGES), file=answers, flush=True)
    for number, _ in enumerate(sys.stdin):
        clock = Clock()
        tuner.run_exp({**settings, "output_dir": f"{settings['output_dir']}-{number}"}, [clock])
        print(json.dumps(clock.found), file=answers, flush=True)


if __name__ == "__main__":
    main()
