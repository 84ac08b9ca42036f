"""What clients may call, and which service answers it."""

from __future__ import annotations

import re
from pathlib import Path

PROTOS = Path(__file__).resolve().parents[3] / "protos" / "finetuneflow"
BUILT_IN = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}


def contract() -> dict[str, str]:
    """Return the contract's services for clients, each with the service that answers it."""
    found = {}
    for path in PROTOS.rglob("*_service.proto"):
        for name in re.findall(r"^service (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            room = path.relative_to(PROTOS).parts[0]
            found[f"finetuneflow.{room}.v1.{name}"] = "training" if room == "common" else room
    # Trainers run inside the cluster; from outside there is no way to the worker contract.
    del found["finetuneflow.common.v1.WorkerService"]
    del found["finetuneflow.training.v1.ChatWorkerService"]
    return found


EXPECTED = contract() | dict.fromkeys(BUILT_IN, "training")
