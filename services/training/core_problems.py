"""What speaks against a run. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.common.chat.encode import Mask, require_supervision, require_whole
from services.common.errors import FineTuneFlowError, NotReady, together
from services.common.jobs.port import Resources

# What a call is refused with: INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED,
# FAILED_PRECONDITION. Anything else is a failure of the check itself.
_REFUSALS = (3, 5, 6, 7, 8, 9)
_WARNINGS = ("LABELS_UNCHECKED",)
_SENTENCE = re.compile(r"(?<=[^\s.])\. (?=[A-Z`])")
FEW_STEPS = 10
"""Optimizer steps below which the warm-up, a step at least, is more than a tenth of a run: the default warmup_ratio."""
FEW_EVAL_EXAMPLES = 24
"""Held-out examples from which on the mean of a score between 0 and 1 is known to within 0.1: 0.5 / √24."""


@dataclass
class Problems:
    """Collects what speaks against a run, in order."""

    found: list[tuple[bool, FineTuneFlowError]] = field(default_factory=list)

    def refuse(self, error: FineTuneFlowError) -> None:
        """Add what forbids the run; what two of those who are asked refuse alike is one problem."""
        if all(error.message != other.message for refuses, other in self.found if refuses):
            self.found.append((True, error))

    def warn(self, error: FineTuneFlowError) -> None:
        """Add what somebody should know."""
        self.found.append((False, error))

    def collect(self, at: str = "") -> Collecting:
        """Take a refusal out of a block as a problem, of a field if it names none; what follows in it is skipped."""
        return Collecting(self, at)

    def require_none(self) -> None:
        """Raise everything that forbids the run, as one error."""
        refusals = [error for refuses, error in self.found if refuses]
        if refusals:
            raise together(refusals)


@dataclass(frozen=True)
class Collecting:
    """See Problems.collect."""

    problems: Problems
    at: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, FineTuneFlowError) or error.code not in _REFUSALS:
            return False
        error.field = error.field or self.at
        (self.problems.warn if error.reason in _WARNINGS else self.problems.refuse)(error)
        return True


def parted(message: str) -> tuple[str, str]:
    """Return what is wrong and what to do about it: the first sentence of a message, and the rest."""
    what, *rest = _SENTENCE.split(message, maxsplit=1)
    return (f"{what}.", rest[0]) if rest else (message, "")


def without_faults(
    given: Mapping[str, Any], complete: Callable[[dict[str, Any]], dict[str, Any]], problems: Problems
) -> dict[str, Any]:
    """Return complete settings, those at fault replaced by their defaults, each of which is a problem.

    After a fault that no given setting explains, every setting but the objective is the default.
    """
    kept = {**given, "lora": dict(given.get("lora", {}))} if "lora" in given else dict(given)
    while True:
        try:
            return complete(kept)
        except FineTuneFlowError as error:
            *_, name = path = error.field.split(".")
            within = kept.get("lora", {}) if path[-2:-1] == ["lora"] else kept
            problems.refuse(error)
            if name not in within:
                return complete({name: kept[name] for name in ("objective",) if name in kept})
            del within[name]
            if name == "loss_type":
                kept.pop("loss_weights", None)  # they are of the losses that were named


def judge_labels(labels: Mapping[str, int], settings: Mapping[str, Any], problems: Problems) -> None:
    """Add what the labels of a dataset say against a run.

    Args:
        labels: counts by the names of LabelPreview.
    """
    mask = Mask(
        examples=labels["checked_examples"],
        kept=labels["checked_examples"] - labels["empty_examples"],
        truncated=labels["truncated_examples"],
        tokens=labels["tokens"],
        supervised_tokens=labels["supervised_tokens"],
    )
    with problems.collect("config.max_length"):
        require_supervision(mask)
        if empty := labels["empty_examples"]:
            problems.warn(
                NotReady(
                    f"{empty} of {mask.examples} training examples have no token to train on within max_length and are "
                    "left out. Raise max_length.",
                    reason="EXAMPLES_LEFT_OUT",
                    field="config.max_length",
                )
            )
    with problems.collect("config.max_length"):
        require_whole(mask, settings["max_truncated"])
    judge_evaluation(labels["eval_examples"] - labels["recall_examples"], labels["recall_examples"], problems)


def judge_evaluation(held_out: int, kept_back: int, problems: Problems) -> None:
    """Add that the evaluation will say little, if so it is.

    Args:
        held_out: examples of documents that nothing is trained on.
        kept_back: examples of documents that are trained on, which say nothing about others.
    """
    if held_out < FEW_EVAL_EXAMPLES:
        many = f"Only {held_out} examples are" if held_out > 1 else f"{'One' if held_out else 'No'} example is"
        beside = f" (and {kept_back} kept back of trained documents)" if kept_back else ""
        problems.warn(
            NotReady(
                f"{many} of documents held out{beside}, so that the evaluation says "
                f"{'little' if held_out else 'nothing'} about documents that were not trained on. Hold out "
                f"{FEW_EVAL_EXAMPLES} or more: a larger dataset, or a larger eval fraction.",
                reason="FEW_EVAL_EXAMPLES",
                field="run.dataset",
            )
        )


def judge_steps(steps: float, max_steps: int, problems: Problems) -> None:
    """Add that a run is too short to learn much, if so it is.

    Args:
        steps: optimizer steps that are expected at most; 0 where nobody knows.
        max_steps: the setting; where it is above 0, nothing else makes the run longer.
    """
    if 0 < steps < FEW_STEPS:
        longer = "Generate more examples, raise num_train_epochs, or lower gradient_accumulation_steps."
        problems.warn(
            NotReady(
                f"The run has only {steps:.0f} optimizer step{'s' if steps > 1 else ''}, and at the first one of a "
                "warm-up the learning rate is 0: the model will hardly change. "
                + (longer if max_steps <= 0 else "Raise max_steps, or leave it out."),
                reason="FEW_STEPS",
                field="config.num_train_epochs" if max_steps <= 0 else "config.max_steps",
            )
        )


def judge_priority(
    priority: int, asked: Resources, heeds: Callable[[int, Resources], bool], problems: Problems
) -> None:
    """Add that a priority changes nothing, if so it is."""
    if priority and not heeds(priority, asked):
        if asked.priority_class:
            why = "for the run's own priority_class goes before what its settings list. Leave one of the two out"
        else:
            queue = "" if asked.queue else ", or a queue if they list classes of Kueue"
            why = f"whose settings list no class of its own for such a run. Name a priority_class{queue}"
        problems.warn(
            NotReady(
                f"priority {priority} changes nothing on this cluster, {why}, or ask whoever keeps the chart to list "
                f"{'a workloadPriorityClass' if asked.priority_class else 'it'} in jobs.priorities.",
                reason="PRIORITY_IGNORED",
                field="run.priority",
            )
        )
