"""One training with TRL's trainers and PEFT, from labelled tokens to a tuned model in memory."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from finetuneflow.training.v1 import config_pb2
from services.common.chat.encode import Encoded
from services.common.errors import InvalidArgument, NotReady, Unavailable
from services.trainer.callback import GO, STOP, TERMINATE, Progress, wanted
from services.trainer.checkpoint import steps_of
from services.trainer.divergence import Divergence
from services.trainer.model import dtype_for
from services.trainer.quantised import begin_from_rest, keep_precise
from services.trainer.reporter import Orders, Reporter, Stopped, Terminated
from services.trainer.settings import begins_as, is_full, is_judged, is_quantised, lora_config, lora_setting, setting
from services.trainer.team import Team
from services.trainer.totals import Totals, read_totals
from services.trainer.trainers import arguments, dataset_of, held_out_of, reference, trainer_class
from services.trainer.trials import Trials
from services.trainer.trialscores import of_answers, of_judged
from services.trainer.tuned import Tuned, keep_initial
from services.trainer.uploads import CheckpointUploads

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What a training needs.

    Args:
        config: the run's settings.
        folder: where checkpoints are written, empty or new.
        base_name: what an adapter's configuration calls its base model.
        load_base: returns the base model as it was.
        weights_folder: returns the folder of the base model's files.
        resume: folder of the checkpoint to go on from, or None.
        reporter, orders, uploads: where numbers go, what to obey, where checkpoints go.
        callbacks: more callbacks, for measurements.
        team: the processes that train together, each with its own share of every batch.
        held_out: what is evaluated on while training.
        best: folder of the best checkpoint, where that is not the one to go on from, or None.
        other: whether `resume` is of another run.
        weights_only: whether only the weights are taken from it.
    """

    config: config_pb2.TrainingConfig
    folder: Path
    base_name: str
    load_base: Callable[[], Any]
    weights_folder: Callable[[], Path]
    resume: Path | None
    reporter: Reporter
    orders: Orders
    uploads: CheckpointUploads
    callbacks: Sequence[TrainerCallback] = field(default=())
    team: Team = field(default_factory=Team)
    held_out: Sequence[Encoded] = field(default=())
    best: Path | None = None
    other: bool = False
    weights_only: bool = False

    def totals(self) -> Totals:
        """Return what was done before this attempt; of another run that is the curve, and not the time."""
        if self.resume is None or self.weights_only:
            return Totals()
        found = read_totals(self.resume)
        return found.taken_over() if self.other else found


@dataclass(frozen=True)
class Trained:
    """What a training came to: the model beside its base, and the totals.

    Args:
        kept_step: step whose weights the model has.
        stopped_early: whether it ended before its last step, since evaluations came to nothing better.
    """

    tuned: Tuned
    totals: Totals
    trainable_parameters: int
    kept_step: int
    stopped_early: bool


def train(training: Training, model: Any, tokenizer: Any, examples: Sequence[Encoded]) -> Trained:
    """Train, from the beginning or from a checkpoint, to the last step.

    Args:
        training: settings and surroundings.
        model: the base model; it is trained, or an adapter is put into it, so it is no longer the base afterwards.
        tokenizer: a copy that the library may change.
        examples: those with at least one supervised token.

    Raises:
        Stopped: the service wants no more; nothing was saved.
        Terminated: SIGTERM; a checkpoint was saved and uploaded.
        Unavailable: SIGTERM; the checkpoint could not be stored.
        NotReady: with reason LOSS_DIVERGED.
        InvalidArgument: a setting is none that the libraries take, or no module has a name of target_modules.
    """
    totals = training.totals()
    trainer = make_trainer(training, model, tokenizer, examples)
    tuned = _tuned(training, trainer.model)
    trials = _trials(training, totals, trainer, tokenizer.pad_token_id or 0)
    progress = _progress(training, totals, tuned, trainer, trials)
    # It prints every log to stdout.
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(progress)
    for callback in training.callbacks:
        trainer.add_callback(callback)
    _go_on(training, trainer, trials, progress)
    _obey(training)
    trainable = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    early = trials.exhausted and totals.steps < trainer.state.max_steps
    return Trained(tuned, totals, trainable, _keep_best(trials, totals.steps, trainer), early)


def _progress(training: Training, totals: Totals, tuned: Tuned, trainer: Any, trials: Trials) -> Progress:
    config = training.config
    return Progress(
        training.reporter,
        training.orders,
        training.uploads,
        totals,
        setting(config, "logging_steps"),
        tuned.complete,
        lambda: trainer.supervised,
        training.team,
        Divergence(setting(config, "divergence_factor"), setting(config, "divergence_patience"), totals.losses),
        trials,
    )


def _keep_best(trials: Trials, steps: int, trainer: Any) -> int:
    """Bring the weights of the best evaluation back, where it was not the last; return the step that they are of."""
    best = trials.best_step
    if best in (0, steps):
        return steps
    if trials.restore(lambda folder: trainer._load_from_checkpoint(str(folder))):
        log.info("The weights are those of step %d, the best evaluation.", best)
        return best
    log.warning("The checkpoint of step %d, the best, was not stored: the last weights stay.", best)
    return steps


def _trials(training: Training, totals: Totals, trainer: Any, pad: int) -> Trials:
    def model() -> Any:
        return trainer.model

    def score() -> dict[str, float]:
        if is_judged(training.config):
            return of_judged(trainer, training.team)
        return of_answers(model, training.held_out, pad, training.orders, training.team)

    trials = Trials(training.config, totals, score, model, training.team, training.folder / "best")
    if training.resume and trials.best_step == steps_of(training.resume)[0]:
        trials.keep(training.resume)
    elif training.best and trials.best_step == steps_of(training.best)[0]:
        trials.keep(training.best)
    return trials


def _tuned(training: Training, model: Any) -> Tuned:
    initial = None
    if is_quantised(training.config):
        keep_precise(model)
    beginning = begins_as(training.config)
    if beginning == "loftq" and not training.resume:
        begin_from_rest(model, training.weights_folder())
    if beginning:
        part = beginning != "loftq"
        r = lora_setting(training.config, "r")
        initial = keep_initial(model, r, training.folder, training.resume, takes_part=part)
    return Tuned(model, training.base_name, training.load_base, initial)


def make_trainer(training: Training, model: Any, tokenizer: Any, examples: Sequence[Encoded]) -> Any:
    """Return the trainer of a training, its adapter in the model.

    Raises:
        InvalidArgument: a setting is none that the libraries take, or no module has a name of target_modules.
    """
    config = training.config
    bf16 = dtype_for(setting(config, "bf16")) == torch.bfloat16
    args = arguments(config, training.folder, model, bf16)
    try:
        return trainer_class(config)(
            model=model,
            args=args,
            train_dataset=dataset_of(config, examples),
            **held_out_of(config, training.held_out),
            **reference(config, training.load_base),
            processing_class=tokenizer,
            peft_config=None if is_full(config) else lora_config(config, training.resume is not None),
        )
    except ValueError as error:
        raise InvalidArgument(
            f"The adapter cannot be made: {str(error).splitlines()[0][:300]} Change the settings.", field="config.lora"
        ) from error


def _go_on(training: Training, trainer: Any, trials: Trials, progress: Progress) -> None:
    """Train what is left."""
    if training.resume is None:
        trainer.train()
    elif training.weights_only:
        trainer._load_from_checkpoint(str(training.resume))
        trainer.train()
    elif not _is_complete(training, training.resume, trainer, trials, progress):
        trainer.train(resume_from_checkpoint=str(training.resume))


def _is_complete(training: Training, checkpoint: Path, trainer: Any, trials: Trials, progress: Progress) -> bool:
    """Whether a training has come to its end at the checkpoint to go on from; then the model has its weights.

    An evaluation that SIGTERM came before is made now. The library would train one step too many.

    Raises:
        NotReady: CHECKPOINT_MISMATCH, where another run's checkpoint leaves nothing to train.
    """
    done, total = steps_of(checkpoint)[0], _total(trainer)
    if training.other and done >= total:
        raise NotReady(
            f"The checkpoint is of step {done}, and this run ends at step {total}: nothing is left to train. Raise "
            "num_train_epochs or max_steps, or take only its weights.",
            reason="CHECKPOINT_MISMATCH",
        )
    due = trials.due(done, total)
    if not (due or done >= total or trials.exhausted):
        return False
    trainer._load_from_checkpoint(str(checkpoint))
    trainer.state.max_steps = total
    if due:
        progress.evaluate(done, total)
        if trials.best_step == done and training.team.leads:
            own = training.folder / f"evaluated-{done}"
            shutil.copytree(checkpoint, own)
            progress.submit(done, own)
    return done >= total or trials.exhausted


def _total(trainer: Any) -> int:
    """Return the optimizer steps that a training has in all."""
    total: int = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1]
    return total


def _obey(training: Training) -> None:
    team = training.team
    decision = team.decide(wanted(training.orders) if team.leads else GO)
    if decision == STOP:
        raise Stopped
    if decision == TERMINATE and not team.leads:
        raise Terminated
    if decision == TERMINATE:
        log.info("SIGTERM: the checkpoint is saved; uploading it.")
        if not training.uploads.wait():
            raise Unavailable(
                "The last checkpoint was not stored before the end: see the log. Check the object store; the run goes "
                "on from the checkpoint before and makes the steps since then again."
            )
        raise Terminated
