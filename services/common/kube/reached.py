"""What services reach because their Jobs run in a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from services.common.dependencies import Dependency, of_tcp
from services.common.kube.template import read_template

_HUB = "docker.io"


def reached(template: Path | None, environ: Mapping[str, str]) -> list[Dependency]:
    """Return the cluster's API, where this is a pod, and the registry of the Jobs' image, which the nodes ask.

    Args:
        template: file with the settings of Jobs; None for none.

    Raises:
        InvalidArgument: the settings cannot be read (CONFIGURATION).
    """
    found = []
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    if host:
        found.append(of_tcp("Kubernetes API", host, int(environ.get("KUBERNETES_SERVICE_PORT", "443"))))
    if template is not None:
        registry = registry_of(read_template(template).image)
        message = "The nodes pull the image of Jobs from it: `kubectl get pods` names pulls that fail."
        found.append(Dependency("image registry", registry, message=message))
    return found


def registry_of(image: str) -> str:
    """Return the registry of an image as Kubernetes reads it: the part before the first / if it has a dot or a port."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else _HUB
