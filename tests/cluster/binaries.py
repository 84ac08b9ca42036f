"""Where the Go programs of the bed lie: a cache outside the clone, keyed by what they are made from."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TOOLCHAIN = "go1.26.8"
_VERSION = "v1.36.2"


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
