"""What a failure of the libraries or the machine means, in our own words."""

from __future__ import annotations

import sys
from collections.abc import Callable

from services.common.errors import Exhausted, FineTuneFlowError, NotReady


def explain(error: Exception, scrub: Callable[[str], str] = str) -> FineTuneFlowError:
    """Return an exception as one of our errors; what is not understood is INTERNAL, and may work another time.

    Args:
        error: ours, which is changed in place, or a library's.
        scrub: takes secrets out of text: a library may quote the URL or the key that it was given.
    """
    if isinstance(error, FineTuneFlowError):
        error.message = scrub(error.message)
        error.args = (error.message,)
        error.metadata = {name: scrub(value) for name, value in error.metadata.items()}
        return error
    if isinstance(error, MemoryError) or _out_of_memory(error):
        return NotReady(
            "The work needs more memory than there is. Lower per_device_train_batch_size or max_length, switch "
            "gradient_checkpointing on, or use a smaller model.",
            reason="INSUFFICIENT_MEMORY",
        )
    if isinstance(error, OSError) and error.errno == 28:
        return Exhausted("The disk of the trainer's work folder is full. Free space.", reason="DISK_FULL")
    first = scrub((str(error).strip() or "no message").splitlines()[0])[:300]
    return FineTuneFlowError(
        f"The trainer failed: {type(error).__name__}: {first} See the log; report it if it comes again."
    )


def is_explained(error: Exception) -> bool:
    """Whether an exception says by itself what is wrong, and cannot be the echo of another process's failure."""
    return explain(error).reason != "INTERNAL"


def _out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def refused(why: str, difference: float = 0.0) -> NotReady:
    """Return the refusal of an artifact that is not the tuned model.

    Args:
        why: what is wrong, as the end of a sentence.
        difference: how far its answers are away.
    """
    return NotReady(
        f"The exported artifact does not answer as the tuned model does: {why}. It is not offered: see the log.",
        reason="ACCEPTANCE_FAILED",
        metadata={"max_logit_difference": f"{difference:.6g}"},
    )
