"""Puts the hardware service together."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from huggingface_hub import constants

from finetuneflow.hardware.v1 import hardware_service_pb2_grpc
from services.common.hubtoken import hub_token
from services.common.objects.unfinished import Unfinished
from services.common.outbox import Outbox
from services.common.resources import Resources
from services.common.runtime import Runtime, Service
from services.hardware.api import HardwareApi
from services.hardware.calibrations import INDEXES, Calibrations
from services.hardware.config import HardwareConfig, hardware_config, job_rules
from services.hardware.folder import FolderSource
from services.hardware.grounds import Nodes, ThisMachine
from services.hardware.hub import HubSource
from services.hardware.hubcache import HubCache
from services.hardware.inventory import Inventory
from services.hardware.planning import Planning
from services.hardware.ports import Ground
from services.hardware.service import Models
from services.hardware.store import MODEL_INDEXES, ModelStore
from services.hardware.uploaded import Uploaded, UploadSweeper

MODELS_BYTES = 64 << 30
"""Of unfinished uploads of models: room for a few of the largest files that weights are divided into."""


def compose(runtime: Runtime) -> Service:
    """Return the hardware service on what it is given."""
    config = hardware_config(runtime.config, os.environ)
    resources = Resources(runtime.documents.collection("models", MODEL_INDEXES), "model", runtime.clock)
    folder = FolderSource()
    hub = _hub(runtime, config)
    scratch = config.state / "hardware" / "uploads"
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = Unfinished(runtime.objects, "hardware", runtime.clock, most_bytes=MODELS_BYTES)
    sweeper = UploadSweeper(resources, runtime.objects, unfinished)
    uploaded = Uploaded(runtime.objects, scratch, unfinished, sweeper.keep)
    models = Models(ModelStore(resources), runtime.objects, folder, hub, uploaded)
    ground, close_ground = _ground(runtime, config)
    measured = Calibrations(runtime.documents.collection("measurements", INDEXES), runtime.clock)
    planning = Planning(ground, measured)
    api = HardwareApi(models, planning)

    async def close() -> None:
        folder.close()
        await close_ground()

    return Service(
        name="hardware",
        register=lambda server: hardware_service_pb2_grpc.add_HardwareServiceServicer_to_server(api, server),
        full_names=["finetuneflow.hardware.v1.HardwareService"],
        tasks=[Outbox(resources, runtime.bus, models.purge).run, sweeper.run],
        capabilities=["model:folder", "model:upload", *(["model:hub"] if config.allow_hub else [])],
        close=close,
        dependencies=hub.dependencies,
    )


def _ground(runtime: Runtime, config: HardwareConfig) -> tuple[Ground, Callable[[], Awaitable[None]]]:
    if runtime.config.inventory == "local":

        async def nothing() -> None:
            pass

        cache = HubCache(Path(constants.HF_HUB_CACHE), config.state)
        return ThisMachine(Inventory(config.state, config.visible_devices), cache), nothing
    # Imported here, for the client of Kubernetes is no part of an installation on one machine.
    from services.common.kube.inventory import ClusterNodes

    nodes = ClusterNodes()
    return Nodes(nodes.read, job_rules(runtime.config.job_template)), nodes.close


def _hub(runtime: Runtime, config: HardwareConfig) -> HubSource:
    return HubSource(
        allowed=config.allow_hub,
        endpoint=config.hub_endpoint,
        token=hub_token(config.hub_token_file, runtime.secrets.get, os.environ),
    )
