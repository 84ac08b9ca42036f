"""What is known of the examples, what is decided already, and the settings that were chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.hardware.core_memory import Estimate, Plan
from services.hardware.core_trained import LORA


@dataclass(frozen=True)
class Dataset:
    """What is known of the training examples; 0 means not known."""

    examples: int = 0
    longest_tokens: int = 0


@dataclass(frozen=True)
class Decided:
    """Settings that are decided already, by the contract's names; None or "" is open. They are kept.

    The method is LORA where it is open (`method_open`).
    """

    method: str = LORA
    method_open: bool = False
    optim: str = ""
    r: int | None = None
    lora_alpha: float | None = None
    target_modules: tuple[str, ...] = ()
    use_dora: bool = False
    modules_to_save: tuple[str, ...] = ()
    reference: bool = False
    learning_rate: float | None = None
    num_train_epochs: float | None = None
    max_steps: int | None = None
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    max_length: int | None = None
    gradient_checkpointing: bool | None = None
    bf16: bool | None = None
    packing: bool = False
    sequences: int = 1


@dataclass(frozen=True)
class Choice:
    """The recommended settings. num_train_epochs is None where max_steps was decided.

    Args:
        aim: examples of a step that suit the dataset.
        processes: that train together; each takes batches of its own.
    """

    plan: Plan
    lora_alpha: float
    learning_rate: float
    num_train_epochs: float | None
    estimate: Estimate
    aim: int
    processes: int = 1
    reasons: tuple[str, ...] = field(default=())

    @property
    def examples(self) -> int:
        """Examples of a step, over all processes."""
        each = self.plan.per_device_train_batch_size * self.plan.gradient_accumulation_steps
        return each * self.processes


def stepped(decided: Decided) -> bool:
    """Whether the number of steps is decided, so that passes over the data mean nothing."""
    return decided.max_steps is not None and decided.max_steps > 0
