"""The pods of a Job: what they run, ask for and may do. They pass the restricted Pod Security Standard. Pure."""

from __future__ import annotations

from typing import Any

from services.common.jobs.port import JobSpec
from services.common.kube.template import JobTemplate

CONTAINER = "trainer"
SECRETS_DIR = "/var/run/finetuneflow/secrets"
WORK_DIR = "/var/lib/finetuneflow/work"
CACHE_DIR = "/var/cache/huggingface"
_USER = 65532
_SILENT_NODES = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def pod_spec(spec: JobSpec, template: JobTemplate, master: str) -> dict[str, Any]:
    """Return the spec of a Job's pods.

    Args:
        master: host:port of the first node, where several work together; "" otherwise.
    """
    body: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": template.termination_grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, template, master)],
        "volumes": _volumes(spec, template),
        "tolerations": _tolerations(spec, template),
    }
    product = spec.resources.gpu_product
    nodes = {**template.node_selector, **({template.gpu_product_label: product} if product else {})}
    further = {
        "nodeSelector": nodes,
        "serviceAccountName": template.service_account_name,
        "priorityClassName": template.classes(spec.priority, spec.resources)[1],
        "imagePullSecrets": [{"name": name} for name in template.image_pull_secrets],
        "subdomain": spec.name if master else "",
    }
    return {**body, **{key: value for key, value in further.items() if value}}


def gpus(spec: JobSpec, template: JobTemplate) -> int:
    """Return the GPUs of each pod."""
    asked = spec.resources.gpus
    return template.defaults(spec.labels.get("kind", "")).gpus if asked is None else asked


def _container(spec: JobSpec, template: JobTemplate, master: str) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": template.image,
        "imagePullPolicy": template.image_pull_policy,
        "command": [_literal(word) for word in template.command],
        "args": [_literal(word) for word in spec.args],
        "env": _env(spec, template, master),
        "resources": _resources(spec, template),
        "workingDir": WORK_DIR,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(spec, template),
    }


def _env(spec: JobSpec, template: JobTemplate, master: str) -> list[dict[str, Any]]:
    own = {"FTF_SECRETS_DIR": SECRETS_DIR, "FTF_WORK_DIR": WORK_DIR}
    count = gpus(spec, template)
    if master:
        own |= {"FTF_NODES": str(spec.resources.nodes), "FTF_PROCESSES": str(max(count, 1)), "FTF_MASTER": master}
    elif count > 1:
        own |= {"FTF_PROCESSES": str(count)}
    plain = {"HOME": WORK_DIR, "HF_HOME": CACHE_DIR, **template.env, **spec.env, **own}
    # Each pod is an attempt of its own, and one that has begun may begin again.
    from_pod = {"FTF_POD_UID": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    from_secrets = {
        name: {"secretKeyRef": {"name": value.secret, "key": value.key}} for name, value in template.env_secrets.items()
    }
    referred = {**from_secrets, **from_pod}
    return [
        *({"name": name, "value": _literal(text)} for name, text in plain.items() if name not in referred),
        *({"name": name, "valueFrom": source} for name, source in referred.items()),
    ]


def _literal(text: str) -> str:
    """Return text in which Kubernetes sees no reference to a variable."""
    return text.replace("$", "$$")


def _resources(spec: JobSpec, template: JobTemplate) -> dict[str, Any]:
    """Return requests and limits: memory, disk and GPUs are had whole or not at all, CPU may be borrowed."""
    asked, default = spec.resources, template.defaults(spec.labels.get("kind", ""))
    firm = {
        "memory": asked.memory or default.memory,
        "ephemeral-storage": asked.ephemeral_storage or default.ephemeral_storage,
        template.gpu_resource: str(gpus(spec, template) or ""),
    }
    limits = {name: amount for name, amount in firm.items() if amount}
    cpu = asked.cpu or default.cpu
    return {"requests": {**({"cpu": cpu} if cpu else {}), **limits}, "limits": limits}


def _volumes(spec: JobSpec, template: JobTemplate) -> list[dict[str, Any]]:
    asked, default = spec.resources, template.defaults(spec.labels.get("kind", ""))
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "work", "emptyDir": {}},
        {"name": "secrets", "secret": {"secretName": spec.name, "defaultMode": 0o400}},
    ]
    if template.cache_claim:
        volumes.append({"name": "cache", "persistentVolumeClaim": {"claimName": template.cache_claim}})
    else:
        size = {"sizeLimit": template.cache_size} if template.cache_size else {}
        volumes.append({"name": "cache", "emptyDir": size})
    if template.models_claim:
        claim = {"claimName": template.models_claim, "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
    if shm := asked.shm_size or default.shm_size:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": shm}})
    return volumes


def _mounts(spec: JobSpec, template: JobTemplate) -> list[dict[str, Any]]:
    places = {"tmp": "/tmp", "work": WORK_DIR, "cache": CACHE_DIR, "shm": "/dev/shm"}  # noqa: S108 - in the pod
    closed = {"secrets": SECRETS_DIR, "models": template.models_path}
    mounts = []
    for volume in _volumes(spec, template):
        name = volume["name"]
        if name in closed:
            mounts.append({"name": name, "mountPath": closed[name], "readOnly": True})
        else:
            mounts.append({"name": name, "mountPath": places[name]})
    return mounts


def _tolerations(spec: JobSpec, template: JobTemplate) -> list[dict[str, Any]]:
    seconds = template.toleration_seconds
    silent = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds} for key in _SILENT_NODES
    ]
    own = [{"key": template.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}] if gpus(spec, template) else []
    return [*own, *(dict(toleration) for toleration in template.tolerations), *silent]
