"""What a container finds in its environment and on its command line."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
# (kind, namespace, name) → the data of a Secret (decoded) or ConfigMap, None when there is no such object.
Lookup = Callable[[str, str, str], Awaitable[Mapping[str, bytes] | None]]

UNITS: dict[str, Decimal | int] = {"": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class ConfigError(Exception):
    """The container cannot be configured yet: a Secret, a ConfigMap or a key of one is missing."""


def quantity(text: str | int) -> Decimal:
    """Return the number that a Kubernetes quantity stands for."""
    found = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)([A-Za-z]*)", str(text))
    if not found or found[2] not in UNITS:
        raise ValueError(f"{text!r} is no quantity")
    return Decimal(found[1]) * UNITS[found[2]]


def field(pod: Json, path: str) -> str:
    """Return what the downward API gives for a field of the pod: "metadata.name", "metadata.labels['app']"."""
    found = re.fullmatch(r"(metadata\.(?:labels|annotations))\['(.+)'\]", path)
    if found:
        return str(field_value(pod, found[1]).get(found[2], ""))
    value = field_value(pod, path)
    if isinstance(value, dict):
        return "\n".join(f'{key}="{text}"' for key, text in sorted(value.items()))
    return str(value)


def field_value(pod: Json, path: str) -> Any:
    """Return a part of the pod; an empty one when it is not there."""
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, {})
    return value if value != {} or path.endswith(("labels", "annotations")) else ""


def resource_field(container: Json, reference: Json) -> str:
    """Return a limit or request of the container, in units of the divisor, rounded up."""
    where, _, name = str(reference["resource"]).partition(".")
    amount = container.get("resources", {}).get(where, {}).get(name, "0")
    divisor = reference.get("divisor") or "1"
    return str(math.ceil(quantity(amount) / (quantity(divisor) or 1)))


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace $(NAME) by the variable; $$ stands for one $, and unknown names stay as they are."""

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return env.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", replace, text)


async def keys(lookup: Lookup, kind: str, namespace: str, reference: Json) -> Mapping[str, bytes]:
    """Return the data of the object that a reference names; nothing if it is missing and optional."""
    data = await lookup(kind, namespace, reference["name"])
    if data is None and not reference.get("optional"):
        noun = "secret" if kind == "secrets" else "configmap"
        raise ConfigError(f'{noun} "{reference["name"]}" not found')
    return data or {}


async def resolve(pod: Json, container: Json, lookup: Lookup, base: Mapping[str, str]) -> dict[str, str]:
    """Return the container's environment.

    Args:
        base: variables that the image and the node bring; the pod's own replace them.

    Raises:
        ConfigError: something referred to is missing.
    """
    namespace = pod["metadata"]["namespace"]
    env = dict(base)
    for source in container.get("envFrom", []):
        for kind, name in (("secrets", "secretRef"), ("configmaps", "configMapRef")):
            if name in source:
                data = await keys(lookup, kind, namespace, source[name])
                env |= {source.get("prefix", "") + key: value.decode() for key, value in data.items()}
    for entry in container.get("env", []):
        found = await value_of(pod, container, entry, lookup, env)
        if found is not None:
            env[entry["name"]] = found
    return env


async def value_of(pod: Json, container: Json, entry: Json, lookup: Lookup, env: Mapping[str, str]) -> str | None:
    """Return the value of one variable; None for an optional one whose source is missing."""
    source: Json = entry.get("valueFrom") or {}
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource_field(container, source["resourceFieldRef"])
    for kind, name in (("secrets", "secretKeyRef"), ("configmaps", "configMapKeyRef")):
        if name in source:
            reference = source[name]
            namespace = pod["metadata"]["namespace"]
            data = await keys(lookup, kind, namespace, reference)
            if reference["key"] in data:
                return data[reference["key"]].decode()
            if reference.get("optional"):
                return None
            noun = "Secret" if kind == "secrets" else "ConfigMap"
            raise ConfigError(f"couldn't find key {reference['key']} in {noun} {namespace}/{reference['name']}")
    return expand(entry.get("value", ""), env)


def command(container: Json, image: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return the container's command line: its own command and arguments, or the image's."""
    own = [expand(part, env) for part in container.get("command", [])]
    arguments = [expand(part, env) for part in container.get("args", [])]
    return (own or list(image)) + arguments
