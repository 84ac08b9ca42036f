"""What a run takes from its beginning to its end, each quantity as a range. Memory is that of core_memory.py.

Where the tokens of examples were not counted, their lengths are known in characters; a token of the usual tokenizers
has 2.6 to 4.8 of them, English mostly 3.8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.hardware.core_calibration import Calibration
from services.hardware.core_memory import Device, Plan
from services.hardware.core_parameters import Shape
from services.hardware.core_peaks import evaluation_peaks, training_peaks
from services.hardware.core_range import Range
from services.hardware.core_speed import Work, evaluation_seconds, train_seconds
from services.hardware.core_trained import FLOAT32, trained_parameters

CHARACTERS_PER_TOKEN = (4.8, 3.8, 2.6)
"""For the low, the likely and the high number of tokens."""
GENERAL_EXAMPLES, GENERAL_TOKENS = 32, 60
"""Questions of the general set that every run is evaluated on, and tokens of one."""
ANSWERS_AT_ONCE, ANSWER_TOKENS = 6, 96

_UNKNOWN = Range(0.1, 0.5, 1)
"""Share of max_length that an example has where nothing is known of the data."""
_SAMPLED_SPREAD = 1.06
"""Of the mean length of a thousand examples: twice its standard error where lengths vary as much as they are long."""
_SECONDS_SPREAD, _CALIBRATED_SPREAD = 4.0, 2.0
_FILES = 350_000
"""Bytes of a checkpoint beside its weights, and of a report: states, settings, pictures."""


@dataclass(frozen=True)
class Counted:
    """Tokens that were counted as the run will train on them; with DPO those of both answers.

    Args:
        examples: how many were looked at.
        tokens: of all of these.
        longest: tokens of the longest of these, uncut.
    """

    examples: int
    tokens: int
    longest: int

    def mean(self, data: Data) -> Range:
        """Return the tokens of an example, known where all were looked at."""
        spread = 1.0 if self.examples >= data.train_examples else _SAMPLED_SPREAD
        return Range.exactly(self.tokens / self.examples).within(spread)


@dataclass(frozen=True)
class Data:
    """What is known of the dataset.

    Args:
        train_examples, held_out_examples: how many.
        lengths: tokens of some examples as they may be: low, likely, high; empty where nothing is known.
        counted: None where no token was counted.
    """

    train_examples: int
    held_out_examples: int = 0
    lengths: tuple[tuple[float, ...], ...] = ()
    counted: Counted | None = None

    @staticmethod
    def of_characters(train_examples: int, held_out_examples: int, characters: tuple[int, ...]) -> Data:
        """Return what characters of examples tell."""
        lengths = tuple(tuple(c / each for c in characters) for each in CHARACTERS_PER_TOKEN) if characters else ()
        return Data(train_examples, held_out_examples, lengths)


@dataclass(frozen=True)
class Schedule:
    """The settings that decide how long a run goes on, by the names of the contract. Defaults are the contract's.

    Args:
        processes: devices that train together.
        price_per_hour: of all of it; 0 where it is not known.
        tokenizer_bytes: of the model's tokenizer, which goes with every checkpoint.
        fetched_bytes: of the base model's files, where they are fetched into the trainer's folder.
        answers: of an example, that are trained on: two with DPO.
        blocks: whether texts follow each other and are cut into sequences of max_length, as raw text is.
    """

    num_train_epochs: float = 3.0
    max_steps: int = -1
    num_eval_answers: int = 24
    processes: int = 1
    price_per_hour: float = 0.0
    tokenizer_bytes: int = 0
    fetched_bytes: int = 0
    answers: int = 1
    blocks: bool = False


@dataclass(frozen=True)
class RunEstimate:
    """Ranges; see training/v1/estimate.proto. `cost` is None without a price."""

    training_memory: Range
    evaluation_memory: Range
    tokens: Range
    steps: Range
    train_seconds: Range
    evaluation_seconds: Range
    disk: Range
    cost: Range | None
    calibration: Calibration


@dataclass(frozen=True)
class _Lengths:
    """What goes through the model: sequences within max_length.

    Args:
        mean, longest: tokens of a sequence; of a packed one, of the examples in it.
        sequences, tokens: of a pass over the data.
    """

    mean: Range
    longest: Range
    sequences: Range
    tokens: Range


def estimate_run(
    shape: Shape,
    parameters: int,
    plan: Plan,
    schedule: Schedule,
    data: Data,
    device: Device,
    calibration: Calibration,
) -> RunEstimate:
    """Return what a run takes.

    Raises:
        InvalidArgument: a target module that the model does not have.
    """
    lengths = _blocks(plan, data) if schedule.blocks else _lengths(plan, data, schedule.answers)
    steps, tokens = _steps_and_tokens(plan, schedule, lengths)
    seconds = _train_seconds(shape, plan, schedule, device, lengths, steps)
    spread = _CALIBRATED_SPREAD if calibration.runs else _SECONDS_SPREAD
    training = seconds.times(calibration.train_seconds).within(spread)
    evaluating = Range.exactly(_evaluation_seconds(shape, parameters, plan, schedule, data, lengths, device))
    evaluation = evaluating.times(calibration.evaluation_seconds).within(spread)
    total = Range(*(getattr(training, end) + getattr(evaluation, end) for end in ("low", "likely", "high")))
    return RunEstimate(
        training_memory=training_peaks(shape, parameters, plan, lengths.longest, device).times(
            calibration.training_memory
        ),
        evaluation_memory=evaluation_peaks(shape, parameters, plan, lengths.longest, device).times(
            calibration.evaluation_memory
        ),
        tokens=tokens,
        steps=steps,
        train_seconds=training,
        evaluation_seconds=evaluation,
        disk=_disk(shape, parameters, plan, schedule),
        cost=total.times(schedule.price_per_hour / 3600) if schedule.price_per_hour else None,
        calibration=calibration,
    )


def _lengths(plan: Plan, data: Data, answers: int) -> _Lengths:
    most, examples = plan.max_length, max(data.train_examples, 1)
    mean, longest = _UNKNOWN.times(most), Range(most * 0.2, most, most)
    if data.lengths:
        cut = [[min(length, most) for length in some] for some in data.lengths]
        mean, longest = Range(*map(_mean, cut)), Range(*map(max, cut))
        if len(cut[0]) < data.train_examples:
            longest = replace(longest, high=most)  # a longer one may be among those that were not looked at
    if data.counted:
        mean, likely = data.counted.mean(data).times(1 / answers), min(data.counted.longest, most)
        longest = Range(min(longest.low, likely), likely, max(longest.high, likely))
    sequences = Range.exactly(examples)
    if plan.packing:
        sequences = mean.map(lambda mean: math.ceil(examples * mean / (most * 0.97)))
    return _Lengths(mean, longest, sequences, mean.times(examples * answers))


def _blocks(plan: Plan, data: Data) -> _Lengths:
    """Return the lengths where nothing is cut off: the texts' tokens, in sequences that are full but for the last."""
    most = plan.max_length
    text = Range(*map(_mean, data.lengths)) if data.lengths else _UNKNOWN.times(most)
    if data.counted:
        text = data.counted.mean(data)
    tokens = text.times(max(data.train_examples, 1))
    full = tokens.map(lambda tokens: min(tokens, most))
    return _Lengths(full, full, tokens.map(lambda tokens: math.ceil(tokens / most)), tokens)


def _mean(lengths: Sequence[float]) -> float:
    return sum(lengths) / len(lengths)


def _steps_and_tokens(plan: Plan, schedule: Schedule, lengths: _Lengths) -> tuple[Range, Range]:
    """Return optimizer steps and tokens; TRL makes as many steps of a pass as its batches fill, the last one partly."""
    per_step = plan.per_device_train_batch_size * plan.gradient_accumulation_steps * schedule.processes
    if schedule.max_steps > 0:
        each = Range(1, 1, 1).times(plan.max_length * 0.9) if plan.packing else lengths.mean.times(schedule.answers)
        return Range.exactly(schedule.max_steps), each.times(schedule.max_steps * per_step)
    steps = lengths.sequences.map(
        lambda sequences: math.ceil(schedule.num_train_epochs * max(math.ceil(sequences / per_step), 1))
    )
    return steps, lengths.tokens.times(schedule.num_train_epochs)


def _train_seconds(
    shape: Shape, plan: Plan, schedule: Schedule, device: Device, lengths: _Lengths, steps: Range
) -> Range:
    def seconds(length: float, steps: float) -> float:
        passes = steps * plan.gradient_accumulation_steps
        tokens = passes * plan.per_device_train_batch_size * plan.sequences * schedule.processes * length
        return train_seconds(shape, plan, device, Work(tokens, length, passes, steps, schedule.processes))

    # A batch is as wide as its longest example, which lies between the mean and the longest of all.
    width = lengths.longest.map(lambda longest: plan.max_length if plan.packing else longest)
    ends = [(getattr(width, e) + getattr(lengths.mean, e)) / 2 for e in ("low", "likely", "high")]
    return Range(*(seconds(w, s) for w, s in zip(ends, (steps.low, steps.likely, steps.high), strict=True)))


def _evaluation_seconds(
    shape: Shape, parameters: int, plan: Plan, schedule: Schedule, data: Data, lengths: _Lengths, device: Device
) -> float:
    each = lengths.tokens.likely / max(data.train_examples, 1)
    tokens = data.held_out_examples * each + GENERAL_EXAMPLES * GENERAL_TOKENS
    answers = math.ceil(min(schedule.num_eval_answers, data.held_out_examples) / ANSWERS_AT_ONCE)
    return evaluation_seconds(shape, parameters, plan, device, tokens, answers * ANSWER_TOKENS)


def _disk(shape: Shape, parameters: int, plan: Plan, schedule: Schedule) -> Range:
    """A checkpoint holds what is trained and two values of AdamW's for each; what is left has the weights alone.

    The files of an uploaded base model lie in the same folder, from the first step to the last.
    """
    trained = trained_parameters(shape, parameters, plan.target)
    checkpoint, left = (copies * FLOAT32 * trained + schedule.tokenizer_bytes + _FILES for copies in (3, 1))
    # Several are there for a moment when they are written faster than they are stored.
    fetched = schedule.fetched_bytes
    return Range(fetched + 0.7 * checkpoint, fetched + checkpoint, fetched + 2 * checkpoint + left)
