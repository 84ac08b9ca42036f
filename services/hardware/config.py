"""Settings of the hardware service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.common.config import Config
from services.common.jobs.quantity import parse_quantity
from services.common.kube.template import read_template
from services.hardware.core_cluster import Rules


@dataclass(frozen=True)
class HardwareConfig:
    """What the hardware service is told from outside.

    Args:
        state: folder of the program's own files; its disk is the one that runs write to.
        visible_devices: CUDA_VISIBLE_DEVICES, None where it is not set.
        allow_hub: whether model hubs may be reached.
        hub_endpoint: URL of the hub (setting "hub_endpoint").
        hub_token_file: file with the hub's access token, read at every use (FTF_HUB_TOKEN_FILE); None: the
            secret "hub-token" or HF_TOKEN, if there is one.
    """

    state: Path
    visible_devices: str | None
    allow_hub: bool
    hub_endpoint: str
    hub_token_file: Path | None


def hardware_config(config: Config, environ: Mapping[str, str]) -> HardwareConfig:
    """Return the service's settings."""
    return HardwareConfig(
        state=config.state,
        visible_devices=environ.get("CUDA_VISIBLE_DEVICES"),
        allow_hub=config.allow_hub,
        hub_endpoint=config.settings.get("hub_endpoint", "https://huggingface.co"),
        hub_token_file=config.hub_token_file,
    )


def job_rules(template: Path | None) -> Rules:
    """Return how the pods of runs are made, from the settings of Jobs; the usual ones without them.

    Raises:
        InvalidArgument: the settings cannot be read (CONFIGURATION).
    """
    if template is None:
        return Rules()
    jobs = read_template(template)
    return Rules(
        gpu_resource=jobs.gpu_resource,
        product_label=jobs.gpu_product_label,
        tolerations=jobs.tolerations,
        node_selector=jobs.node_selector,
        gpus=jobs.runs.gpus,
        memory=int(parse_quantity(jobs.runs.memory)) if jobs.runs.memory else 0,
        disk=int(parse_quantity(jobs.runs.ephemeral_storage)) if jobs.runs.ephemeral_storage else 0,
        shared_cache=bool(jobs.cache_claim),
        cache=int(parse_quantity(jobs.cache_size)) if jobs.cache_size else 0,
    )
