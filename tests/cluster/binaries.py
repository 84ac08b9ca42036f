"""Where the Go programs of the bed lie: a cache outside the clone, keyed by what they are made from."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TOOLCHAIN = "go1.26.8"
_VERSION = "v1.36.2"
GATEWAY_API = "v1.6.3"
GATEWAY_API_SUM = "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc="  # Of the module, as in a go.sum.
CRDS = ("gatewayclasses", "gateways", "grpcroutes")


@dataclass(frozen=True)
class Binary:
    """A Go program of tests/cluster: its package within its module, and variables set by the linker."""

    package: str = "."
    variables: tuple[str, ...] = ()


BINARIES = {
    "controlplane": Binary(
        variables=(
            f"k8s.io/component-base/version.gitVersion={_VERSION}",
            f"k8s.io/client-go/pkg/version.gitVersion={_VERSION}",
        )
    ),
    "helm": Binary(package="helm.sh/helm/v4/cmd/helm"),
    "ferretdb": Binary(),
    "minio": Binary(),
    "registry": Binary(),
}


def cache() -> Path:
    """Return the folder of the cache."""
    return Path(os.environ.get("FTF_CLUSTER_CACHE") or Path.home() / ".cache" / "finetuneflow" / "cluster")


def path(name: str) -> Path:
    """Return where a program lies or will lie: another place whenever anything that goes into it changes."""
    binary = BINARIES[name]
    digest = hashlib.sha256("\0".join((TOOLCHAIN, binary.package, *binary.variables)).encode())
    for source in sorted((HERE / name).rglob("*")):
        if source.suffix in (".go", ".mod", ".sum", ".txt"):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return cache() / digest.hexdigest()[:16] / name


def folder() -> Path:
    """Return a folder that `build.py` fills with links to all programs of this checkout, by their names."""
    return cache() / ("all-" + hashlib.sha256("".join(str(path(name)) for name in BINARIES).encode()).hexdigest()[:16])


def gateway_crds() -> Path:
    """Return the folder of the Gateway API's definitions."""
    return cache() / f"gateway-api-{GATEWAY_API}"
