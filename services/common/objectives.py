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
