"""The output layer on a CPU: only the positions that are learnt are projected onto the vocabulary, and once.

TRL's own projects every position there, the question's and the padding's too, in tiles that it computes a second time
on the way back. That bounds memory for vocabularies of any size, and costs a small model a third of its step. What
stands here is the model's own forward with its `logits_to_keep`; the loss and what TRL counts beside it are the same
but for the last digits that float32 has. On a GPU TRL's kernels leave out the other positions themselves.
"""

from __future__ import annotations

import inspect
import types
from typing import Any

import torch
from torch.nn import functional
from trl.trainer.utils import FusedCausalLMOutput

ENTRIES, TOKENS = 2 * 32768, 4096
"""At most ENTRIES logits at once for each token of the batch, and for TOKENS tokens: with their copies they take what
TRL's tiles of 4,096 tokens by 32,768 entries take with theirs."""
_ROWS = 128
"""Rows whose entropy is computed at once."""


def project_learnt_only(model: Any) -> None:
    """Have TRL's fused head of a causal language model project only the positions with a label, where that fits.

    Everything else stays TRL's: batches whose logits would take more than its tiles do, models that have no
    `logits_to_keep` or ask for their routers' logits, and every call on a device that is no CPU.

    Args:
        model: the base model, inside an adapter if there is one, after `add_fused_lm_head`. Changed.
    """
    if "logits_to_keep" not in inspect.signature(type(model).forward).parameters:
        return
    of_trl = model.forward

    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        if fused_lm_head and labels is not None and labels.device.type == "cpu" and not _routed(kwargs):
            positions = (labels[:, 1:] != -100).any(0).nonzero().squeeze(1)
            entries = len(labels) * len(positions) * self.config.get_text_config().vocab_size
            if 0 < entries <= min(labels.numel(), TOKENS) * ENTRIES:
                kwargs["use_cache"] = False
                logits = of_trl(*args, logits_to_keep=positions, **kwargs).logits
                return _scored(logits, labels[:, 1:], positions)
        if labels is not None:
            kwargs["labels"] = labels
        return of_trl(*args, fused_lm_head=fused_lm_head, **kwargs)

    # The signature stays: `generate` looks at it.
    model.forward = types.MethodType(_like(forward, of_trl), model)


def _like(forward: Any, other: Any) -> Any:
    forward.__signature__ = inspect.signature(other.__func__)
    return forward


def _routed(kwargs: dict[str, Any]) -> bool:
    return bool(kwargs.get("output_router_logits")) or kwargs.get("shift_labels") is not None


def _scored(logits: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor) -> FusedCausalLMOutput:
    """Return what TRL's head returns.

    Args:
        logits: (batch, kept, vocabulary).
        labels: (batch, length - 1), of the next token each; -100 where nothing is learnt.
        positions: (kept,), where logits are from, in 0 to length - 1.
    """
    kept = labels[:, positions]
    rows, wanted = logits.flatten(0, 1).float(), kept.flatten().clamp(min=0)
    learnt = (kept != -100).flatten()
    logged = functional.log_softmax(rows, dim=-1)
    log_probs = logged.gather(1, wanted.unsqueeze(1)).squeeze(1)
    with torch.no_grad():
        entropy = torch.cat([-(part.exp() * part).sum(-1) for part in torch.split(logged, _ROWS)])
        is_top1 = logged.argmax(-1) == wanted

    def spread(values: torch.Tensor) -> torch.Tensor:
        whole = values.new_zeros(labels.shape)
        return whole.index_copy(1, positions, (values * learnt).view(kept.shape))

    mask = labels != -100
    log_probs = spread(log_probs)
    loss = -log_probs.sum() / mask.sum().clamp(min=1)
    return FusedCausalLMOutput(
        loss=loss, log_probs=log_probs, entropy=spread(entropy), is_top1=spread(is_top1), label_mask=mask
    )
