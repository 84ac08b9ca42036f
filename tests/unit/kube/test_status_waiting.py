"""What is said of a Job that waits: by the scheduler, the kubelet and events."""

from __future__ import annotations

import pytest

from tests.unit.kube.test_status import KIND, condition, event, job, pod, waiting


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
            "0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
            "UNSCHEDULABLE",
            "No node has enough nvidia.com/gpu free: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu. Ask for",
        ),
        (
            "0/3 nodes are available: 1 Insufficient cpu, 3 Insufficient memory, 2 node(s) had untolerated taint(s).",
            "UNSCHEDULABLE",
            "No node has enough cpu and memory free: 0/3 nodes are available: 1 Insufficient cpu, 3 Insufficient "
            "memory, 2 node(s) had untolerated taint(s). Ask for less",
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            "UNSCHEDULABLE",
            "No node fits: 0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. Add such "
            "nodes, ask for another GPU product in a new run, or correct jobs.nodeSelector or jobs.tolerations. A run "
            "takes what is corrected in the chart's values after `ftf pause`, then `ftf resume`.",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {example.com/pool: gpu}.",
            "UNSCHEDULABLE",
            "or correct jobs.nodeSelector or jobs.tolerations. A run takes",
        ),
        (
            "0/1 nodes are available: 1 node(s) were unschedulable.",
            "UNSCHEDULABLE",
            "were unschedulable. Ask for less, wait for other Jobs, or add nodes.",
        ),
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "VOLUME", "unbound"),
        ('persistentvolumeclaim "models" not found', "VOLUME", '"models" not found. Check the PersistentVolumeClaims'),
    ],
)
def test_what_the_scheduler_says(message: str, reason: str, words: str) -> None:
    """The missing resource first, then its words, then the remedy."""
    found = waiting(job(), pod(None, condition("PodScheduled", "Unschedulable", message, "False")))

    assert found.reason == reason
    assert words in found.message
    assert "preemption" not in found.message


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("run", "after `ftf pause`, then `ftf resume`."),
        ("export", "chart's values when it begins: cancel it, and export again."),
        ("chat", "corrected in the chart's values holds when you ask again."),
        ("", "corrected in the chart's values reaches new Jobs only."),
    ],
)
def test_corrected_values_reach_each_kind_of_work_in_its_own_way(kind: str, remedy: str) -> None:
    """Only a run can be paused; whether its pod waits, or there is none."""
    pulling = pod({"waiting": {"reason": "ErrImagePull"}})
    unfit = pod(None, condition("PodScheduled", "Unschedulable", "1 node(s) had untolerated taint {a: b}.", "False"))
    creating, unmounted = pod({}), event("FailedMount", 'secret "x" not found', "uid-run-abc-1-x")
    made = job()
    for thing in (pulling, unfit, creating, made):
        thing["metadata"]["labels"] = {KIND: kind}
    refused = [event("FailedCreate", said) for said in ("no PriorityClass with name urgent was found", "it is denied")]
    found = [
        *(waiting(job(), pulling), waiting(job(), unfit), waiting(job(), creating, events=(unmounted,))),
        *(waiting(made, events=(one,)) for one in refused),
    ]

    assert [one.message.endswith(remedy) for one in found] == [True] * 5
    assert ["pause" in one.message for one in found] == [kind == "run"] * 5


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("ErrImagePull", "IMAGE_PULL"),
        ("ImagePullBackOff", "IMAGE_PULL"),
        ("InvalidImageName", "IMAGE_PULL"),
        ("CreateContainerConfigError", "CONFIGURATION"),
        ("ContainerCreating", "STARTING"),
        ("PodInitializing", "STARTING"),
    ],
)
def test_what_the_kubelet_says_of_a_container(why: str, reason: str) -> None:
    """With its own words."""
    found = waiting(job(), pod({"waiting": {"reason": why, "message": "so it is"}}))

    assert found.reason == reason
    assert ("so it is." in found.message) == (reason != "STARTING")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('MountVolume.SetUp failed for volume "secrets" : secret "run-abc-1" not found', "CONFIGURATION"),
        ('MountVolume.SetUp failed for volume "models" : mount failed: exit status 32', "VOLUME"),
    ],
)
def test_what_events_say_of_a_container_that_is_not_made(message: str, reason: str) -> None:
    """Those of this pod, the newest."""
    creating = pod({"waiting": {"reason": "ContainerCreating"}})
    own = event("FailedMount", message, "uid-run-abc-1-x")
    other = event("FailedMount", "another's", "uid-other", ago=1)

    assert waiting(job(), creating, events=(own, other)).reason == reason


def test_a_priority_class_that_is_not_there_is_told_with_the_flag_that_names_it() -> None:
    """The chart's values are only one of the places that it comes from."""
    message = 'Error creating: pods "x" is forbidden: no PriorityClass with name urgent was found'
    found = waiting(job(), events=(event("FailedCreate", message),))

    assert found.reason == "ADMISSION"
    assert "Make the PriorityClass urgent. Where the run named it (--priority-class), start another" in found.message
    assert "otherwise correct jobs.priorityClassName or jobs.priorities." in found.message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('Error creating: pods "run-abc-1-x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, '
         "used: requests.nvidia.com/gpu=8, limited: requests.nvidia.com/gpu=8", "QUOTA"),
        ('Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": …', "ADMISSION"),
        ('Error creating: admission webhook "policy" denied the request: no', "ADMISSION"),
    ],
)  # fmt: skip
def test_why_a_pod_cannot_be_made(message: str, reason: str) -> None:
    """There is no pod that could tell."""
    refused = event("FailedCreate", message)
    made = event("SuccessfulCreate", "Created pod: x", ago=1)

    assert waiting(job(), events=(refused,)).reason == reason
    assert message.partition(": ")[2][:20] in waiting(job(), events=(refused,)).message
    assert waiting(job(), events=(made, refused)).reason == "STARTING"
