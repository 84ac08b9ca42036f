"""What a training's objective fixes, by the objective's name without its prefix. Pure."""

from __future__ import annotations

from collections.abc import Mapping

FIXED: Mapping[str, Mapping[str, bool]] = {
    "SFT": {},
    "PRETRAIN": {"assistant_only_loss": False, "completion_only_loss": False, "packing": True},
    "DPO": {"assistant_only_loss": False, "completion_only_loss": True, "packing": False},
    "KTO": {"assistant_only_loss": False, "completion_only_loss": True, "packing": False},
}
"""DPO and KTO: TRL scores each answer by itself and whole. Raw text is learnt all."""


def comparing_rate(whole: bool) -> float:
    """Return the learning rate of DPO and KTO where none is given: TRL's, ten times that for an adapter.

    Args:
        whole: whether every weight is trained.
    """
    return 1e-6 if whole else 1e-5
