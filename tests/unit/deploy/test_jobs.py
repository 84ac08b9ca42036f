"""The settings of Jobs, and the volumes that they share with the hardware service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.common.kube.template import JobTemplate, Priority, SecretKey, parse_template
from tests.unit.deploy.chart import external, render

pytestmark = pytest.mark.cluster


def template(**values: Any) -> JobTemplate:
    """Return what the job runner makes of the ConfigMap."""
    data = external(**values).one("ConfigMap", "jobs")["data"]
    return parse_template(json.loads(data["jobs.json"]))


def test_the_job_runner_understands_the_settings() -> None:
    """The chart's defaults are settings that it knows, and it refuses others."""
    found = template()

    assert found.image == "finetuneflow/trainer:0.1.0"
    assert found.service_account_name == "finetuneflow-trainer"
    assert found.backoff_limit == 2
    assert found.runs.gpus == 1
    assert found.exports.gpus == 0
    assert found.cache_size == "50Gi"


def test_cpus_may_be_numbers() -> None:
    """Whole or not, they reach the job runner as Kubernetes writes them."""
    found = template(jobs={"runs": {"cpu": 4}, "exports": {"cpu": 0.5}})

    assert (found.runs.cpu, found.exports.cpu) == ("4", "0.5")


def test_every_setting_reaches_the_job_runner() -> None:
    """Values become settings under the same names."""
    found = template(
        image={"pullPolicy": "Always", "pullSecrets": ["pull"]},
        cache={"existingClaim": "cache"},
        models={"existingClaim": "weights", "path": "/w"},
        jobs={
            "image": "x:1",
            "env": {"NCCL_DEBUG": "INFO"},
            "nodeSelector": {"pool": "gpu"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "priorityClassName": "low",
            "priorities": [{"atLeast": -5, "workloadPriorityClass": "late", "priorityClassName": "last"}],
            "tolerationSeconds": 5,
            "runs": {"cpu": "8", "shmSize": "2Gi", "gpus": 4},
        },
    )

    assert (found.image, found.image_pull_policy, found.image_pull_secrets) == ("x:1", "Always", ("pull",))
    assert (found.cache_claim, found.cache_size) == ("cache", "")
    assert (found.models_claim, found.models_path) == ("weights", "/w")
    assert found.env == {"NCCL_DEBUG": "INFO", "HF_HUB_OFFLINE": "1"}
    assert found.node_selector == {"pool": "gpu"}
    assert found.tolerations == ({"key": "a", "operator": "Exists"},)
    assert (found.priority_class_name, found.toleration_seconds) == ("low", 5)
    assert found.priorities == (Priority(-5, "late", "last"),)
    assert (found.runs.cpu, found.runs.shm_size, found.runs.gpus) == ("8", "2Gi", 4)


def test_the_hub_token_reaches_jobs_as_a_reference() -> None:
    """A gated model needs it in the trainer; its value stands nowhere."""
    found = template(hub={"allow": True, "existingSecret": {"name": "hub", "key": "token"}})

    assert found.env_secrets == {"HF_TOKEN": SecretKey("hub", "token")}


def test_a_trainer_asks_the_hub_only_if_that_is_allowed() -> None:
    """Otherwise it would wait for an answer that no network lets through."""
    assert template().env == {"HF_HUB_OFFLINE": "1"}
    assert template(hub={"allow": True}).env == {}


def test_models_lie_at_the_same_path_in_the_hardware_service_and_in_jobs() -> None:
    """A path that hardware recorded is the path that a trainer opens."""
    rendered = external(models={"existingClaim": "weights", "path": "/w"})
    pod = rendered.one("Deployment", "hardware")["spec"]["template"]["spec"]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "models"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "models"]

    assert mount == {"name": "models", "mountPath": "/w", "readOnly": True}
    assert volume["persistentVolumeClaim"] == {"claimName": "weights"}


def test_a_claim_of_models_that_the_chart_made_stays_with_its_models() -> None:
    """Weights take long to copy."""
    claim = external(models={"create": True}).one("PersistentVolumeClaim", "models")

    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert list(render().all("PersistentVolumeClaim")) == []
