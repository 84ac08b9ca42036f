"""What all Jobs of a cluster have in common: one JSON file, which the chart writes from its values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from services.common.errors import InvalidArgument
from services.common.jobs.port import Resources
from services.common.jobs.quantity import parse_quantity

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class SecretKey:
    """One value of a Secret of the Jobs' namespace."""

    secret: str
    key: str


@dataclass(frozen=True)
class Defaults:
    """What each node of a Job has where its spec asks for nothing; "" leaves it to the cluster."""

    cpu: str = ""
    memory: str = ""
    ephemeral_storage: str = ""
    shm_size: str = ""
    gpus: int = 0


@dataclass(frozen=True)
class Priority:
    """What the priority of a run means to a cluster.

    Args:
        at_least: the least priority that this is for.
        workload_priority_class: Kueue's, for a Job in one of its queues; "" for none.
        priority_class_name: of the Job's pods; "" for the template's.
    """

    at_least: int = 0
    workload_priority_class: str = ""
    priority_class_name: str = ""


@dataclass(frozen=True)
class JobTemplate:
    """Settings of every Job; the names in the file are these in camel case.

    Args:
        image: of the trainer.
        command: what to run; a Job's arguments follow.
        env: variables for every Job; those of a spec win.
        env_secrets: variable → Secret, for the hub's token; never its value.
        gpu_resource: what GPUs are called in a node's capacity.
        gpu_product_label: the node label that a GPU product is compared with.
        priorities: what priorities of runs mean; each is for those from its own up to that of the next higher one.
        backoff_limit: failures of a trainer, on one node or several, before the Job fails; evictions do not count.
        ttl_seconds_after_finished: how long a Job that nobody removes stays after its end.
        active_deadline_seconds: longest time of a Job over all its pods; 0 for no limit.
        termination_grace_period_seconds: for the checkpoint of a pod that is evicted.
        node_lost_seconds: how long past its grace a pod may take to go before its node counts as lost.
        toleration_seconds: how long a node may be silent before its pods are evicted.
        models_claim: PersistentVolumeClaim of base models, mounted read-only at models_path.
        cache_claim: PersistentVolumeClaim of the hub's cache; without one it is an emptyDir of at most cache_size.
        runs, exports: defaults by kind of Job; an export has no GPU.
    """

    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    service_account_name: str = ""
    command: tuple[str, ...] = ("python", "-m", "services.trainer")
    env: Mapping[str, str] = field(default_factory=dict)
    env_secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    gpu_resource: str = "nvidia.com/gpu"
    gpu_product_label: str = "nvidia.com/gpu.product"
    priority_class_name: str = ""
    priorities: tuple[Priority, ...] = ()
    backoff_limit: int = 2
    ttl_seconds_after_finished: int = 86_400
    active_deadline_seconds: int = 0
    termination_grace_period_seconds: int = 120
    node_lost_seconds: int = 60
    toleration_seconds: int = 60
    models_claim: str = ""
    models_path: str = "/models"
    cache_claim: str = ""
    cache_size: str = ""
    runs: Defaults = Defaults()
    exports: Defaults = Defaults()

    def defaults(self, kind: str) -> Defaults:
        """Return the defaults for a kind of Job: "run", "export", or "chat", a run's with one GPU at most."""
        if kind == "chat":
            return replace(self.runs, gpus=min(self.runs.gpus, 1))
        return self.exports if kind == "export" else self.runs

    def priority(self, wanted: int) -> Priority:
        """Return what a run's priority means; nothing where it is below all that are listed."""
        below = [priority for priority in self.priorities if priority.at_least <= wanted]
        return max(below, key=lambda priority: priority.at_least, default=Priority())

    def classes(self, wanted: int, resources: Resources) -> tuple[str, str]:
        """Return Kueue's class, of a Job in a queue, and its pods', which a run may name itself; "" for none."""
        listed = self.priority(wanted)
        pods = resources.priority_class or listed.priority_class_name or self.priority_class_name
        return (listed.workload_priority_class if resources.queue else "", pods)


def read_template(path: Path) -> JobTemplate:
    """Read the file.

    Raises:
        InvalidArgument: it cannot be read, or is not right; the message names the setting (CONFIGURATION).
    """
    try:
        return parse_template(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise _wrong(
            f"The settings of Jobs, {path}, cannot be read ({error.strerror}). Set FTF_JOB_TEMPLATE to a readable file."
        ) from None
    except ValueError as error:
        raise _wrong(f"The settings of Jobs, {path}, cannot be read ({error}). Correct the chart's values.") from None


def parse_template(given: object) -> JobTemplate:
    """Return the template that the JSON stands for; see read_template."""
    values = _read(given, _SETTINGS, "")
    if "image" not in values:
        raise _wrong("The settings of Jobs have no image. Set the trainer's image in the chart's values.")
    template = JobTemplate(**values)
    if template.exports.gpus:
        raise _wrong("exports.gpus is set, but exports run without GPUs. Leave it out.")
    if template.cache_claim and template.cache_size:
        raise _wrong("Both cacheClaim and cacheSize are set. Choose the claim or the size.")
    return template


def _wrong(message: str) -> InvalidArgument:
    return InvalidArgument(message, reason="CONFIGURATION")


Reader = Callable[[Any, str], Any]


def _read(given: object, settings: Mapping[str, Reader], where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise _wrong(f"{where or 'The settings of Jobs'} must be an object. Correct the chart's values.")
    for key in given:
        if key not in settings:
            raise _wrong(f"{_dotted(where, key)} is no setting of Jobs. Known are: {', '.join(sorted(settings))}.")
    return {_snake(key): settings[key](value, _dotted(where, key)) for key, value in given.items()}


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _snake(key: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", key)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{name} is {value!r}, not a text. Put it in quotes.")
    return value


def _filled(value: Any, name: str) -> str:
    if not _text(value, name):
        raise _wrong(f"{name} is empty. Give it a value.")
    return str(value)


def _number(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(f"{name} is {value!r}. Use a whole number, 0 or more.")
    return value


def _integer(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(f"{name} is {value!r}. Use a whole number.")
    return value


def _quantity(value: Any, name: str) -> str:
    if _text(value, name):
        try:
            parse_quantity(value, name)
        except InvalidArgument as error:
            raise _wrong(error.message) from None
    return str(value)


def _policy(value: Any, name: str) -> str:
    if value not in ("Always", "IfNotPresent", "Never"):
        raise _wrong(f"{name} is {value!r}. Use Always, IfNotPresent or Never.")
    return str(value)


def _list_of(read: Reader) -> Reader:
    def whole(value: Any, name: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _wrong(f"{name} must be a list.")
        return tuple(read(item, f"{name}[{n}]") for n, item in enumerate(value))

    return whole


def _command(value: Any, name: str) -> tuple[str, ...]:
    words: tuple[str, ...] = _list_of(_text)(value, name)
    if not words:
        raise _wrong(f"{name} is empty. Leave it out for the trainer's own.")
    return words


def _map_of(read: Reader, variables: bool = False) -> Reader:
    def whole(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(f"{name} must be an object.")
        for key in value:
            if variables and not _VARIABLE.fullmatch(key):
                raise _wrong(f"{name} has {key!r}, which is not a variable's name. Use letters, digits, underscores.")
        return {key: read(item, f"{name}.{key}") for key, item in value.items()}

    return whole


def _secret_key(value: Any, name: str) -> SecretKey:
    found = _read(value, {"secret": _filled, "key": _filled}, name)
    if len(found) < 2:
        raise _wrong(f"{name} needs both secret and key.")
    return SecretKey(**found)


def _toleration(value: Any, name: str) -> dict[str, Any]:
    forms: dict[str, Reader] = dict.fromkeys(("key", "operator", "value", "effect"), _text)
    _read(value, {**forms, "tolerationSeconds": _number}, name)
    return dict(value)


def _priority(value: Any, name: str) -> Priority:
    readers: dict[str, Reader] = {"atLeast": _integer, "workloadPriorityClass": _text, "priorityClassName": _text}
    found = _read(value, readers, name)
    if "at_least" not in found:
        raise _wrong(f"{name} needs atLeast, the least priority of a run that it is for.")
    return Priority(**found)


def _priorities(value: Any, name: str) -> tuple[Priority, ...]:
    found: tuple[Priority, ...] = _list_of(_priority)(value, name)
    if len({priority.at_least for priority in found}) < len(found):
        raise _wrong(f"{name} has the same atLeast twice. Keep one of them.")
    return found


def _defaults(value: Any, name: str) -> Defaults:
    quantities: dict[str, Reader] = dict.fromkeys(("cpu", "memory", "ephemeralStorage", "shmSize"), _quantity)
    return Defaults(**_read(value, {**quantities, "gpus": _number}, name))


_SETTINGS: dict[str, Reader] = {
    "image": _filled,
    "imagePullPolicy": _policy,
    "imagePullSecrets": _list_of(_filled),
    "serviceAccountName": _text,
    "command": _command,
    "env": _map_of(_text, variables=True),
    "envSecrets": _map_of(_secret_key, variables=True),
    "nodeSelector": _map_of(_text),
    "tolerations": _list_of(_toleration),
    "gpuResource": _filled,
    "gpuProductLabel": _filled,
    "priorityClassName": _text,
    "priorities": _priorities,
    "backoffLimit": _number,
    "ttlSecondsAfterFinished": _number,
    "activeDeadlineSeconds": _number,
    "terminationGracePeriodSeconds": _number,
    "nodeLostSeconds": _number,
    "tolerationSeconds": _number,
    "modelsClaim": _text,
    "modelsPath": _filled,
    "cacheClaim": _text,
    "cacheSize": _quantity,
    "runs": _defaults,
    "exports": _defaults,
}
