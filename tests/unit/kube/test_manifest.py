"""The objects that a Job becomes: every field that something hangs on."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from services.common.jobs.port import JobSpec, Resources
from services.common.kube import manifest
from services.common.kube.template import Defaults, JobTemplate, Priority, SecretKey

LABELS = {"kind": "run", "work": "projects/p/runs/r", "uid": "abc", "launch": "1"}
SPEC = JobSpec(
    "run-abc-1",
    ("train", "--cost=$(HOME)"),
    env={"FTF_ADDRESS": "training:9000", "FTF_POD_UID": "pod-abc-1"},
    secrets={"launch_token": "s3cret"},
    labels=LABELS,
)
TEMPLATE = JobTemplate("trainer:1")
NOTHING = Resources()


def job(resources: Resources = NOTHING, template: JobTemplate = TEMPLATE, **labels: str) -> dict[str, Any]:
    """Return the manifest of a Job that differs in what it asks for."""
    spec = JobSpec(SPEC.name, SPEC.args, SPEC.env, SPEC.secrets, {**LABELS, **labels}, resources)
    return manifest.job(spec, template, "ftf")


def pod(*args: Any, **labels: str) -> dict[str, Any]:
    """Return the spec of its pods."""
    found: dict[str, Any] = job(*args, **labels)["spec"]["template"]["spec"]
    return found


def container(*args: Any, **labels: str) -> dict[str, Any]:
    """Return its container."""
    (found,) = pod(*args, **labels)["containers"]
    return dict(found)


def env(*args: Any) -> dict[str, Any]:
    """Return its variables: values, or where they come from."""
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(*args)["env"]}


def test_a_job_is_found_by_its_labels_and_carries_all_of_the_specs() -> None:
    """Those that no label can hold are in an annotation; pods, Secret and Service have the same labels."""
    made = job()
    own = {
        "app.kubernetes.io/name": "finetuneflow-trainer",
        "app.kubernetes.io/managed-by": "finetuneflow",
        "app.kubernetes.io/instance": "ftf",
        "finetuneflow.dev/kind": "run",
        "finetuneflow.dev/uid": "abc",
        "finetuneflow.dev/launch": "1",
    }

    assert made["metadata"]["name"] == "run-abc-1"
    assert made["metadata"]["labels"] == own
    assert json.loads(made["metadata"]["annotations"]["finetuneflow.dev/labels"]) == LABELS
    assert made["spec"]["template"]["metadata"]["labels"] == own
    assert manifest.secret(SPEC, "ftf")["metadata"] == {"name": "run-abc-1", "labels": own}
    assert manifest.service(SPEC, "ftf")["metadata"] == {"name": "run-abc-1", "labels": own}


def test_pods_are_repeated_by_rules_in_this_order() -> None:
    """Evictions count for nothing, also when the trainer then says that it will never work."""
    spec = job()["spec"]
    evicted, never, saved = spec["podFailurePolicy"]["rules"]

    assert evicted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert never["action"] == "FailJob"
    assert never["onExitCodes"] == {"containerName": "trainer", "operator": "In", "values": [3, 4]}
    assert saved["action"] == "Ignore"
    assert saved["onExitCodes"] == {"containerName": "trainer", "operator": "In", "values": [143]}
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (2, 86_400)
    assert (spec["completions"], spec["parallelism"]) == (1, 1)
    assert spec.keys().isdisjoint({"activeDeadlineSeconds", "suspend", "completionMode"})


def test_a_deadline_of_its_own_comes_before_the_templates() -> None:
    """0 is none."""
    template = JobTemplate("t:1", active_deadline_seconds=600)

    assert job(Resources(), template)["spec"]["activeDeadlineSeconds"] == 600
    assert job(Resources(active_deadline_seconds=60), template)["spec"]["activeDeadlineSeconds"] == 60


def test_a_queue_is_a_label_of_the_job() -> None:
    """Whether it is suspended is the caller's to say."""
    spec = JobSpec("run-a-1", (), resources=Resources(queue="team"))
    made = manifest.job(spec, TEMPLATE, "ftf", suspend=True)

    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert made["spec"]["suspend"] is True


def test_a_job_may_have_one_pod_alone() -> None:
    """What is not to be started again when it fails has no repeats, whatever the template allows."""
    template = JobTemplate("t:1", backoff_limit=3)
    made = [manifest.job(JobSpec("chat-a", (), restarts=again), template, "ftf") for again in (True, False)]

    assert [job["spec"]["backoffLimit"] for job in made] == [3, 0]


def test_a_priority_becomes_the_classes_that_the_settings_list() -> None:
    """Kueue's as a label of a Job in a queue; that of the pods unless the run names one."""
    template = JobTemplate("t:1", priority_class_name="low", priorities=(Priority(5, "urgent", "high"),))

    def made(priority: int, **asked: str) -> tuple[str | None, str]:
        spec = JobSpec("run-a-1", (), resources=Resources(**asked), priority=priority)
        found = manifest.job(spec, template, "ftf")
        label: str | None = found["metadata"]["labels"].get("kueue.x-k8s.io/priority-class")
        return label, found["spec"]["template"]["spec"]["priorityClassName"]

    assert made(5, queue="team") == ("urgent", "high")
    assert made(5) == (None, "high")
    assert made(4, queue="team") == (None, "low")
    assert made(7, queue="team", priority_class="own") == ("urgent", "own")


def test_pods_pass_the_restricted_standard() -> None:
    """And have neither a token of the cluster nor the variables of its Services."""
    spec = pod()

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


def test_the_program_and_its_variables() -> None:
    """The pod's own uid replaces the spec's; nothing in arguments or values refers to other variables."""
    found = env()

    assert container()["command"] == ["python", "-m", "services.trainer"]
    assert container()["args"] == ["train", "--cost=$$(HOME)"]
    assert found["FTF_ADDRESS"] == "training:9000"
    assert found["FTF_POD_UID"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
    assert found.keys() >= {"FTF_SECRETS_DIR", "FTF_WORK_DIR", "HF_HOME", "HOME"}
    assert found.keys().isdisjoint({"FTF_PROCESSES", "FTF_NODES", "FTF_MASTER"})


def test_every_folder_that_is_written_to_is_mounted() -> None:
    """For the root file system is read-only."""
    mounts = {m["mountPath"]: m for m in container()["volumeMounts"]}
    volumes = {v["name"]: v for v in pod()["volumes"]}
    found = env()

    assert {"/tmp", found["FTF_WORK_DIR"], found["HF_HOME"], found["FTF_SECRETS_DIR"]} == set(mounts)
    assert container()["workingDir"] == found["FTF_WORK_DIR"] == found["HOME"]
    assert mounts[found["FTF_SECRETS_DIR"]]["readOnly"] is True
    assert volumes["secrets"]["secret"] == {"secretName": "run-abc-1", "defaultMode": 0o400}
    assert volumes["work"] == {"name": "work", "emptyDir": {}}


def test_secrets_are_only_in_the_secret() -> None:
    """Neither as text nor encoded in the Job."""
    made = manifest.secret(SPEC, "ftf")
    encoded = base64.b64encode(b"s3cret").decode()

    assert made["data"] == {"launch_token": encoded}
    assert made["immutable"] is True
    assert "s3cret" not in json.dumps(job())
    assert encoded not in json.dumps(job())


def test_what_a_run_asks_for_becomes_requests_and_limits() -> None:
    """CPU may be borrowed; memory, disk and GPUs may not."""
    asked = Resources(gpus=2, cpu="8", memory="64Gi", ephemeral_storage="100Gi", shm_size="16Gi")
    firm = {"memory": "64Gi", "ephemeral-storage": "100Gi", "nvidia.com/gpu": "2"}
    shm = next(v for v in pod(asked)["volumes"] if v["name"] == "shm")

    assert container(asked)["resources"] == {"requests": {"cpu": "8", **firm}, "limits": firm}
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
    assert {"name": "shm", "mountPath": "/dev/shm"} in container(asked)["volumeMounts"]
    assert env(asked)["FTF_PROCESSES"] == "2"


def test_what_a_run_leaves_open_comes_from_the_template() -> None:
    """An export has its own defaults, and no GPU; 0 GPUs asked for are none."""
    template = JobTemplate("t:1", runs=Defaults(cpu="4", memory="16Gi", gpus=1), exports=Defaults(memory="8Gi"))

    assert container(Resources(), template)["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "1"}
    assert container(Resources(gpus=0), template)["resources"]["limits"] == {"memory": "16Gi"}
    assert container(Resources(), template, kind="export")["resources"]["limits"] == {"memory": "8Gi"}


def test_where_pods_may_run() -> None:
    """On nodes with GPUs and that product if they need some, and elsewhere than on silent nodes after a while."""
    template = JobTemplate(
        "t:1",
        node_selector={"pool": "train"},
        tolerations=({"key": "team", "operator": "Exists"},),
        toleration_seconds=9,
        priority_class_name="low",
    )
    spec = pod(Resources(gpus=1, gpu_product="NVIDIA-L4", priority_class="high"), template)
    silent = [
        {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}
        for what in ("not-ready", "unreachable")
    ]

    assert spec["nodeSelector"] == {"pool": "train", "nvidia.com/gpu.product": "NVIDIA-L4"}
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Exists"},
        *silent,
    ]
    assert spec["priorityClassName"] == "high"
    assert pod(Resources(gpus=0), template)["priorityClassName"] == "low"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} not in pod()["tolerations"]


def test_several_nodes_are_an_indexed_job_with_a_headless_service() -> None:
    """Whose pods know how many they are and where the first is."""
    asked = Resources(nodes=3, gpus=4)
    made = job(asked)["spec"]
    service = manifest.service(SPEC, "ftf")["spec"]
    found = env(asked)

    assert (made["completionMode"], made["completions"], made["parallelism"]) == ("Indexed", 3, 3)
    assert made["backoffLimit"] == 6  # they fail together: two repeats cost three pods each
    assert made["template"]["spec"]["subdomain"] == "run-abc-1"
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert service["selector"] == {"batch.kubernetes.io/job-name": "run-abc-1"}
    assert (found["FTF_NODES"], found["FTF_PROCESSES"]) == ("3", "4")
    assert found["FTF_MASTER"] == "run-abc-1-0.run-abc-1:29500"


def test_several_nodes_without_gpus_have_one_process_each() -> None:
    """As in a training on CPUs."""
    found = env(Resources(nodes=2, gpus=0))

    assert (found["FTF_NODES"], found["FTF_PROCESSES"]) == ("2", "1")


def test_settings_of_all_jobs() -> None:
    """Image, secrets by reference, claims, ServiceAccount."""
    template = JobTemplate(
        "t:1",
        image_pull_policy="Always",
        image_pull_secrets=("pull",),
        service_account_name="trainer",
        command=("/bin/train",),
        env={"NCCL_DEBUG": "INFO", "FTF_ADDRESS": "other"},
        env_secrets={"HF_TOKEN": SecretKey("hub", "token")},
        models_claim="weights",
        models_path="/weights",
        cache_claim="cache",
    )
    spec = pod(Resources(), template)
    made = container(Resources(), template)
    volumes = {v["name"]: v for v in spec["volumes"]}
    found = env(Resources(), template)

    assert (made["image"], made["imagePullPolicy"], made["command"]) == ("t:1", "Always", ["/bin/train"])
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["serviceAccountName"] == "trainer"
    assert found["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert (found["NCCL_DEBUG"], found["FTF_ADDRESS"]) == ("INFO", "training:9000")
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert {"name": "models", "mountPath": "/weights", "readOnly": True} in made["volumeMounts"]
    assert volumes["cache"]["persistentVolumeClaim"] == {"claimName": "cache"}


@pytest.mark.parametrize("value", ["a/b", "-a", "a" * 64, "ü"])
def test_what_no_label_can_hold_is_left_out_of_the_labels(value: str) -> None:
    """The annotation has it."""
    made = job(uid=value)

    assert "finetuneflow.dev/uid" not in made["metadata"]["labels"]
    assert json.loads(made["metadata"]["annotations"]["finetuneflow.dev/labels"])["uid"] == value
