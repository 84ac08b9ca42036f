"""What we do at each step of a training: report, obey, hand checkpoints on. Its own time is measured."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from services.trainer.checkpoint import travelling
from services.trainer.divergence import Divergence
from services.trainer.measuring import bytes_below, peak_memory_bytes
from services.trainer.reporter import Orders, Reporter, Terminated
from services.trainer.team import Team
from services.trainer.totals import Totals
from services.trainer.trials import Trials
from services.trainer.trialscores import go_on_together
from services.trainer.uploads import CheckpointUploads, Saved

_MEANS = (
    *("loss", "entropy", "mean_token_accuracy", "kl", "rewards/accuracies", "rewards/margins"),
    *(f"{what}/{which}" for what in ("rewards", "logps", "logits") for which in ("chosen", "rejected")),
)
_LAST = ("learning_rate", "grad_norm", "epoch")


GO, SAVE, TERMINATE, STOP = range(4)
"""What all processes do after a step: go on, take a checkpoint, take one and end, end without."""


def wanted(orders: Orders) -> int:
    """Return what orders come to after a step; an order to save is taken by this."""
    if orders.stopping:
        return STOP
    if orders.terminating:
        return TERMINATE
    return SAVE if orders.take_save() else GO


class Progress(TrainerCallback):
    """Reports metrics every `logging_steps`, obeys orders at the end of a step, submits checkpoints.

    Args:
        reporter: takes the metrics.
        orders: what to do at the next step.
        uploads: takes the checkpoints.
        totals: kept up to date, and saved with every checkpoint.
        logging_steps: steps between reports.
        complete: adds to a checkpoint's folder what the library does not.
        supervised: returns the supervised tokens of the step that just ended, of all processes.
        team: the processes that train; the leader's orders count, and only it reports and submits.
        divergence: refuses a loss that runs away.
        trials: evaluations while training.
    """

    def __init__(
        self,
        reporter: Reporter,
        orders: Orders,
        uploads: CheckpointUploads,
        totals: Totals,
        logging_steps: int,
        complete: Callable[[Path], None],
        supervised: Callable[[], float],
        team: Team,
        divergence: Divergence,
        trials: Trials,
    ) -> None:
        self._reporter = reporter
        self._orders = orders
        self._uploads = uploads
        self._totals = totals
        self._logging_steps = logging_steps
        self._complete = complete
        self._supervised = supervised
        self._team = team
        self._divergence = divergence
        self._trials = trials
        self._ending = False
        self._tokens_before = totals.num_tokens
        self._seconds_before = totals.train_seconds
        self._platform_before = totals.platform_seconds
        self._began = self._step_began = time.perf_counter()
        self._own = 0.0
        self._threads_before = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clocks; what the threads did until now was not training."""
        self._began = self._step_began = time.perf_counter()
        self._threads_before = self._threads()
        self._reporter.phase("train", state.global_step, state.max_steps, "steps")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Obey: STOP ends without a checkpoint, SIGTERM with one, SAVE takes one and goes on."""
        with self._timed():
            decision = self._team.decide(wanted(self._orders) if self._team.leads else GO)
            if decision == STOP:
                control.should_save = False
            elif decision != GO:
                control.should_save = True
            self._ending = decision in (STOP, TERMINATE)
            if self._ending:
                control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Take the values of a step; report the window when it is full or the last.

        Raises:
            NotReady: with reason LOSS_DIVERGED; see Divergence.
        """
        # The library's own history would grow with every step into every checkpoint; ours is in the totals.
        state.log_history.clear()
        if not logs or "loss" not in logs:
            return
        with self._timed():
            self._divergence.take(logs["loss"], logs.get("grad_norm", 0.0), state.global_step)
            self._take(logs)
            if state.global_step % self._logging_steps == 0 or state.global_step >= state.max_steps:
                self._report(logs, state)
        if not self._ending and self._trials.due(state.global_step, state.max_steps):
            self._evaluate(state, control)

    def _evaluate(self, state: Any, control: Any) -> None:
        """Evaluate; save what is the best so far, and end the training when there were enough without a better one."""
        try:
            self.evaluate(state.global_step, state.max_steps)
        except Terminated:
            control.should_save = control.should_training_stop = True
        if self._trials.best_step == state.global_step:
            control.should_save = True
        if self._trials.exhausted:
            control.should_save = control.should_training_stop = True
        # An evaluation is part of the training's time, but of no step's.
        self._step_began = time.perf_counter()

    def evaluate(self, step: int, total: int) -> None:
        """Evaluate what the training has come to, and report it. Raises: see Trials.evaluate."""
        self._reporter.metrics(step, total, self._trials.evaluate(step))

    def submit(self, step: int, folder: Path) -> None:
        """Hand a checkpoint's folder on, with our totals in it; what is the best stays here too."""
        self._totals.write(folder)
        best = self._trials.best_step == step
        if best:
            self._trials.keep(folder)
        metrics = {"loss": self._totals.losses[-1], **self._trials.at(step)}
        self._uploads.submit(
            Saved(step, folder, tuple(travelling(folder)), metrics, best=best, diverging=self._divergence.rising)
        )

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look between the batches of an evaluation of TRL's whether to go on. Raises: see go_on_together."""
        go_on_together(self._orders, self._team)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add our totals to the checkpoint and hand it on."""
        with self._timed():
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._gather_generators(folder)
            if self._team.leads:
                self.settle()
                self._complete(folder)
                self._totals.disk_bytes = max(self._totals.disk_bytes, bytes_below(folder.parent))
                self.submit(state.global_step, folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        # Saving is part of the training's time, but of no step's.
        self._step_began = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop the clocks."""
        self.settle()

    def _gather_generators(self, folder: Path) -> None:
        """Put every process's random generators into the leader's checkpoint: each wrote its own where it runs."""
        if self._team.size == 1:
            return
        own = folder / f"rng_state_{self._team.rank}.pth"
        for rank, state in enumerate(self._team.collect(own.read_bytes())):
            (folder / f"rng_state_{rank}.pth").write_bytes(state)

    def settle(self) -> None:
        """Bring the totals' times up to now."""
        totals = self._totals
        totals.train_seconds = self._seconds_before + time.perf_counter() - self._began
        totals.platform_seconds = self._platform_before + self._own + self._threads() - self._threads_before
        totals.peak_memory_bytes = max(totals.peak_memory_bytes, peak_memory_bytes())

    def _take(self, logs: dict[str, float]) -> None:
        totals = self._totals
        now = time.perf_counter()
        num_tokens = self._tokens_before + logs.get("num_tokens", 0.0)
        means = {name: logs[name] for name in _MEANS if name in logs}
        weight = max(self._supervised(), 1.0)
        totals.window.add(means, weight, now - self._step_began, num_tokens - totals.num_tokens)
        totals.num_tokens = num_tokens
        totals.losses.append(logs["loss"])
        self._step_began = now

    def _report(self, logs: dict[str, float], state: Any) -> None:
        totals = self._totals
        totals.peak_memory_bytes = max(totals.peak_memory_bytes, peak_memory_bytes())
        values = totals.window.values()
        values.update({name: float(logs[name]) for name in _LAST if name in logs})
        values["num_tokens"] = totals.num_tokens
        values["peak_memory_bytes"] = float(totals.peak_memory_bytes)
        totals.window = type(totals.window)()
        self._reporter.metrics(state.global_step, state.max_steps, values)

    def _threads(self) -> float:
        return self._reporter.cpu_seconds() + self._uploads.cpu_seconds()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._own += time.perf_counter() - began
