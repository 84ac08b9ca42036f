"""Settings of the hardware service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.common.config import Config


@dataclass(frozen=True)
class HardwareConfig:
    """What the hardware service is told from outside.

    Args:
        state: folder of the program's own files; its disk is the one that runs write to.
        visible_devices: CUDA_VISIBLE_DEVICES, None where it is not set.
        allow_hub: whether model hubs may be reached.
        hub_endpoint: URL of the hub (setting "hub_endpoint").
        hub_token_file: file with the hub's access token, mode 0600 (setting "hub_token_file"); None: the secret
            "hub-token", if there is one.
    """

    state: Path
    visible_devices: str | None
    allow_hub: bool
    hub_endpoint: str
    hub_token_file: Path | None


def hardware_config(config: Config, environ: Mapping[str, str]) -> HardwareConfig:
    """Return the service's settings."""
    token_file = config.settings.get("hub_token_file", "")
    return HardwareConfig(
        state=config.state,
        visible_devices=environ.get("CUDA_VISIBLE_DEVICES"),
        allow_hub=config.allow_hub,
        hub_endpoint=config.settings.get("hub_endpoint", "https://huggingface.co"),
        hub_token_file=Path(token_file) if token_file else None,
    )
