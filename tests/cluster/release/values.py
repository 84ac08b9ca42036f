"""The chart's values for a cluster of the bed: short outages, short leases, small requests."""

from __future__ import annotations

from typing import Any

from tests.cluster.bed.stores import Stores

TAG = "test"
SERVICES = ("ingest", "dataset", "hardware", "training", "export")
STORES = [{"to": [{"ipBlock": {"cidr": "10.244.0.0/24"}}]}]
SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}


def values(stores: Stores, llm_url: str, trainer: list[str], env: dict[str, str]) -> dict[str, Any]:
    """Return the values.

    Args:
        llm_url: the one LLM that may be called.
        trainer: the command of Jobs.
        env: variables of Jobs.
    """
    return {
        "image": {"repository": "finetuneflow", "tag": TAG},
        "services": {name: {"replicas": 2 if name == "training" else 1, "resources": SMALL} for name in SERVICES},
        "settings": {"sweepSeconds": 1, "leaseSeconds": 3},
        "drain": {"preStopSeconds": 1, "terminationGracePeriodSeconds": 15},
        "documents": {"existingSecret": {"name": "documents"}},
        "objects": {"url": stores.objects_url, "existingSecret": {"name": "objects"}},
        "nats": {"existingSecret": {"name": "nats"}},
        "tokens": {"existingSecret": "tokens"},
        "llm": {"allow": [llm_url]},
        "models": {"existingClaim": "models"},
        "networkPolicy": {"objectStorage": STORES, "databases": STORES},
        "gateway": {"enabled": True, "parentRefs": [{"name": "bed"}]},
        "jobs": {
            "command": trainer,
            "env": env,
            "terminationGracePeriodSeconds": 20,
            "nodeLostSeconds": 3,
            "tolerationSeconds": 2,
            "runs": {"cpu": "500m", "memory": "3Gi", "ephemeralStorage": "1Gi", "shmSize": "64Mi", "gpus": 0},
            "exports": {"cpu": "500m", "memory": "3Gi", "ephemeralStorage": "1Gi", "shmSize": "64Mi"},
        },
    }
