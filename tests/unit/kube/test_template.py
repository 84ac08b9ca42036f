"""The settings that all Jobs share: read strictly, so that a slip is found at the start and not in a Job."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import InvalidArgument
from services.common.jobs.port import Resources
from services.common.kube.jobs import KubernetesJobs
from services.common.kube.template import Defaults, JobTemplate, Priority, SecretKey, parse_template, read_template

WHOLE = {
    "image": "registry/trainer:1",
    "imagePullPolicy": "Always",
    "imagePullSecrets": ["pull"],
    "serviceAccountName": "trainer",
    "command": ["python"],
    "env": {"A": "1"},
    "envSecrets": {"HF_TOKEN": {"secret": "hub", "key": "token"}},
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 5}],
    "gpuResource": "amd.com/gpu",
    "gpuProductLabel": "amd.com/gpu.product-name",
    "priorityClassName": "low",
    "priorities": [{"atLeast": 10, "workloadPriorityClass": "urgent"}, {"atLeast": -1000, "priorityClassName": "late"}],
    "backoffLimit": 5,
    "ttlSecondsAfterFinished": 60,
    "activeDeadlineSeconds": 3600,
    "terminationGracePeriodSeconds": 30,
    "nodeLostSeconds": 10,
    "tolerationSeconds": 20,
    "modelsClaim": "weights",
    "modelsPath": "/weights",
    "cacheClaim": "",
    "cacheSize": "50Gi",
    "runs": {"cpu": "4", "memory": "16Gi", "ephemeralStorage": "100Gi", "shmSize": "8Gi", "gpus": 1},
    "exports": {"cpu": "2", "memory": "8Gi", "gpus": 0},
}


def test_every_setting_is_read(tmp_path: Path) -> None:
    """Under the names of the chart's values."""
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps(WHOLE))

    assert read_template(file) == JobTemplate(
        image="registry/trainer:1",
        image_pull_policy="Always",
        image_pull_secrets=("pull",),
        service_account_name="trainer",
        command=("python",),
        env={"A": "1"},
        env_secrets={"HF_TOKEN": SecretKey("hub", "token")},
        node_selector={"pool": "gpu"},
        tolerations=({"key": "k", "operator": "Exists", "tolerationSeconds": 5},),
        gpu_resource="amd.com/gpu",
        gpu_product_label="amd.com/gpu.product-name",
        priority_class_name="low",
        priorities=(Priority(10, "urgent"), Priority(-1000, "", "late")),
        backoff_limit=5,
        ttl_seconds_after_finished=60,
        active_deadline_seconds=3600,
        termination_grace_period_seconds=30,
        node_lost_seconds=10,
        toleration_seconds=20,
        models_claim="weights",
        models_path="/weights",
        cache_size="50Gi",
        runs=Defaults("4", "16Gi", "100Gi", "8Gi", 1),
        exports=Defaults("2", "8Gi"),
    )


def test_an_image_is_enough() -> None:
    """The rest has defaults."""
    template = parse_template({"image": "t:1"})

    assert template.command == ("python", "-m", "services.trainer")
    assert (template.backoff_limit, template.gpu_resource) == (2, "nvidia.com/gpu")
    assert template.defaults("run") == template.defaults("export") == Defaults()


def test_a_chat_has_what_a_run_has_with_one_gpu_at_most() -> None:
    """It is one process."""
    template = JobTemplate("t:1", runs=Defaults(memory="16Gi", gpus=4))

    assert template.defaults("chat") == Defaults(memory="16Gi", gpus=1)
    assert JobTemplate("t:1").defaults("chat") == Defaults()


def test_a_priority_means_what_the_highest_entry_up_to_it_says() -> None:
    """In whatever order they are listed; below all of them it means nothing."""
    template = JobTemplate("t:1", priorities=(Priority(10, "urgent"), Priority(0, "normal", "p"), Priority(-5, "late")))
    found = [template.priority(wanted).workload_priority_class for wanted in (-1000, -5, -1, 0, 9, 10, 1000)]

    assert found == ["", "late", "late", "normal", "normal", "urgent", "urgent"]
    assert JobTemplate("t:1").priority(5) == Priority()


def test_a_priority_is_heeded_where_it_means_something_else_than_none() -> None:
    """Where nothing is listed, none is."""
    nothing: Any = None
    listed = JobTemplate("t:1", priorities=(Priority(0, "normal"), Priority(5), Priority(10, "urgent", "high")))
    one, other = (KubernetesJobs(nothing, template, nothing, "r") for template in (listed, JobTemplate("t:1")))
    queued, own = Resources(queue="q"), Resources(priority_class="mine")

    assert [one.heeds(priority, queued) for priority in (-1, 0, 4, 10)] == [True, False, False, True]
    assert [other.heeds(priority, queued) for priority in (-1, 10)] == [False, False]
    # Without a queue Kueue's class says nothing, and without classes an entry does not; a run's own goes before.
    assert [one.heeds(priority, Resources()) for priority in (-1, 5, 10)] == [False, False, True]
    assert [one.heeds(10, resources) for resources in (own, replace(own, queue="q"))] == [False, True]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image": ""}, "image is empty"),
    ({"backofLimit": 3}, "backofLimit is no setting of Jobs"),
    ({"backoffLimit": "3"}, "backoffLimit is '3'"),
    ({"backoffLimit": True}, "backoffLimit is True"),
    ({"backoffLimit": -1}, "backoffLimit is -1"),
    ({"command": []}, "command is empty"),
    ({"command": "python"}, "command must be a list"),
    ({"env": {"A": 1}}, "env.A is 1, not a text"),
    ({"env": {"A B": "1"}}, "not a variable's name"),
    ({"envSecrets": {"HF_TOKEN": {"secret": "hub"}}}, "envSecrets.HF_TOKEN needs both"),
    ({"envSecrets": {"HF_TOKEN": "hf_abc"}}, "envSecrets.HF_TOKEN must be an object"),
    ({"runs": {"memory": "16GB"}}, 'runs.memory "16GB" is not a quantity'),
    ({"runs": {"cpus": "4"}}, "runs.cpus is no setting"),
    ({"exports": {"gpus": 1}}, "exports run without GPUs"),
    ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy is 'Sometimes'"),
    ({"cacheClaim": "a", "cacheSize": "1Gi"}, "Both cacheClaim and cacheSize"),
    ({"priorities": [{"priorityClassName": "a"}]}, "priorities[0] needs atLeast"),
    ({"priorities": [{"atLeast": "1"}]}, "priorities[0].atLeast is '1'"),
    ({"priorities": [{"atLeast": 1}, {"atLeast": 1}]}, "the same atLeast twice"),
    ({"tolerations": [{"kee": "a"}]}, "tolerations[0].kee is no setting"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    """As a mistake of the configuration."""
    with pytest.raises(InvalidArgument) as caught:
        parse_template({"image": "t:1", **change})

    assert words in caught.value.message
    assert caught.value.reason == "CONFIGURATION"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null"])
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever is in it; so is one that is not there."""
    file = tmp_path / "jobs.json"
    file.write_text(text)

    with pytest.raises(InvalidArgument):
        read_template(file)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_template(tmp_path / "missing.json")
