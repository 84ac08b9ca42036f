"""The Kubernetes objects of a Job: its Secret, the Job, a headless Service where several nodes work together. Pure."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from services.common.jobs.port import JobSpec
from services.common.kube.podspec import CONTAINER, pod_spec
from services.common.kube.template import JobTemplate

NAME = "finetuneflow-trainer"
OURS = "finetuneflow.dev"
LABELS_ANNOTATION = f"{OURS}/labels"
ORDER_ANNOTATION = f"{OURS}/order"
STOPPED_ANNOTATION = f"{OURS}/stopped"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
MASTER_PORT = 29500
# What the trainer exits with: worth no repeat; SIGTERM, saved.
_NEVER = [3, 4]
_SAVED = [143]
_LABELLED = ("kind", "uid", "launch")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def selector(release: str) -> str:
    """Return the label selector of everything that belongs to the Jobs of a release."""
    return f"app.kubernetes.io/name={NAME},app.kubernetes.io/instance={release}"


def labels(spec: JobSpec, release: str) -> dict[str, str]:
    """Return the labels of a Job's objects: what finds them, and of the spec's labels those that a label can hold."""
    found = {f"{OURS}/{key}": spec.labels[key] for key in _LABELLED if _LABEL.fullmatch(spec.labels.get(key, " "))}
    return {
        "app.kubernetes.io/name": NAME,
        "app.kubernetes.io/managed-by": "finetuneflow",
        "app.kubernetes.io/instance": release,
        **found,
    }


def secret(spec: JobSpec, release: str) -> dict[str, Any]:
    """Return the Secret that the Job's pods mount."""
    data = {name: base64.b64encode(content.encode()).decode() for name, content in spec.secrets.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": spec.name, "labels": labels(spec, release)},
        "type": "Opaque",
        "immutable": True,
        "data": data,
    }


def service(spec: JobSpec, release: str) -> dict[str, Any]:
    """Return the headless Service by which the pods of one Job find each other."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": spec.name, "labels": labels(spec, release)},
        "spec": {
            "clusterIP": "None",
            # The pods look for each other before they are ready.
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": spec.name},
            "ports": [{"name": "master", "port": MASTER_PORT}],
        },
    }


def job(spec: JobSpec, template: JobTemplate, release: str, *, suspend: bool = False) -> dict[str, Any]:
    """Return the Job.

    Args:
        suspend: leave it to Kueue when it starts.
    """
    resources = spec.resources
    own = labels(spec, release)
    queue = {QUEUE_LABEL: resources.queue} if resources.queue else {}
    if priority := template.classes(spec.priority, resources)[0]:
        queue[PRIORITY_LABEL] = priority
    deadline = resources.active_deadline_seconds or template.active_deadline_seconds
    body: dict[str, Any] = {
        # Nodes that train together fail together: each repeat of the training costs one pod on every node.
        "backoffLimit": template.backoff_limit * resources.nodes if spec.restarts else 0,
        "ttlSecondsAfterFinished": template.ttl_seconds_after_finished,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        "completions": resources.nodes,
        "parallelism": resources.nodes,
        "template": {"metadata": {"labels": own}, "spec": pod_spec(spec, template, _master(spec))},
    }
    if resources.nodes > 1:
        body["completionMode"] = "Indexed"
    if deadline:
        body["activeDeadlineSeconds"] = deadline
    if suspend:
        body["suspend"] = True
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.name,
            "labels": {**own, **queue},
            # The API's own time has whole seconds only.
            "annotations": {
                LABELS_ANNOTATION: json.dumps(dict(spec.labels), sort_keys=True),
                ORDER_ANNOTATION: f"{time.time_ns():020d}",
            },
        },
        "spec": body,
    }


def owner(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return the owner reference to a Job as the API returned it."""
    return {"apiVersion": "batch/v1", "kind": "Job", "name": made["metadata"]["name"], "uid": made["metadata"]["uid"]}


def _master(spec: JobSpec) -> str:
    return f"{spec.name}-0.{spec.name}:{MASTER_PORT}" if spec.resources.nodes > 1 else ""


def _failure_rules() -> list[dict[str, Any]]:
    """Return what becomes of a pod that failed: the first rule that fits decides, without one it counts."""
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": _NEVER}},
        {"action": "Ignore", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": _SAVED}},
    ]
