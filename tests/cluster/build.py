"""Build the Go programs of the bed into the cache: python tests/cluster/build.py [NAME …]

A program whose sources and versions are unchanged is not built again. Where Go or the module proxy is missing, says so
and exits with 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cluster import binaries


def build(name: str) -> None:
    """Build one program, unless it is there. Raises SystemExit with what to do when that fails."""
    target = binaries.path(name)
    if target.exists():
        print(f"  {name}: in the cache, {target}", flush=True)
        return
    binary = binaries.BINARIES[name]
    flags = " ".join(["-s -w", *(f"-X {variable}" for variable in binary.variables)])
    fresh = target.with_suffix(f".{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(fresh), binary.package]
    environment = os.environ | {"GOTOOLCHAIN": binaries.TOOLCHAIN, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    begun = time.monotonic()
    done = subprocess.run(command, cwd=binaries.HERE / name, env=environment, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(
            f"{name} of the test bed cannot be built: {done.stderr.strip()[-2000:]}\n"
            f"It needs Go (which fetches {binaries.TOOLCHAIN} when it is another version) and a Go module proxy: "
            "look at the answer above, at `go env GOPROXY` and at the network."
        )
    fresh.replace(target)
    print(f"  {name}: built in {time.monotonic() - begun:.0f} s, {target}", flush=True)


def download_crds() -> None:
    """Put the Gateway API's definitions into the cache, from its Go module."""
    target = binaries.gateway_crds()
    if target.exists():
        return
    module = f"sigs.k8s.io/gateway-api@{binaries.GATEWAY_API}"
    environment = os.environ | {"GOTOOLCHAIN": binaries.TOOLCHAIN, "GOFLAGS": ""}
    done = subprocess.run(["go", "mod", "download", "-json", module], env=environment, capture_output=True, text=True)
    found = json.loads(done.stdout or "{}")
    if found.get("Sum") != binaries.GATEWAY_API_SUM or "Dir" not in found:
        raise SystemExit(f"{module} cannot be had, or is not what it was: {found or done.stderr.strip()}")
    fresh = target.with_suffix(f".{os.getpid()}")
    fresh.mkdir(parents=True)
    for name in binaries.CRDS:
        source = Path(found["Dir"]) / "config" / "crd" / "standard" / f"gateway.networking.k8s.io_{name}.yaml"
        shutil.copyfile(source, fresh / source.name)
    fresh.rename(target)
    print(f"  gateway-api {binaries.GATEWAY_API}: {target}", flush=True)


def link() -> None:
    """Make the folder in which all programs lie under their names."""
    folder = binaries.folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name in binaries.BINARIES:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(binaries.path(name))


def main() -> None:
    """Build the programs that are named, or all."""
    if shutil.which("go") is None:
        raise SystemExit("The test bed needs Go to build a Kubernetes control plane: install it, https://go.dev/dl/.")
    names = sys.argv[1:] or list(binaries.BINARIES)
    print("The programs of the test bed:", flush=True)
    for name in names:
        build(name)
    download_crds()
    link()


if __name__ == "__main__":
    main()
