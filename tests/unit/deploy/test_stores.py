"""The bundled stores' settings, tried with the servers themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.
from minio import Minio

from tests.cluster import binaries
from tests.cluster.bed.waits import until
from tests.fakes.servers import free_ports
from tests.unit.deploy.chart import ROOT, render

NATS = Path(sys.executable).parent / "nats-server"
SECRET = "a-secret-of-the-test-0123456789"


def nats_takes(config: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have nats-server read a configuration, and no more."""
    path = folder / "nats.conf"
    path.write_text(config, encoding="utf-8")
    environ = {**os.environ, "NATS_PASSWORD": f"n{SECRET}", "POD_NAME": "finetuneflow-nats-0"}
    return subprocess.run(
        [NATS, "-t", "-c", path], env=environ, capture_output=True, text=True, timeout=20, check=False
    )


def test_nats_takes_the_configuration_of_compose(tmp_path: Path) -> None:
    """With its password from the environment; without one it says so."""
    config = (ROOT / "deploy" / "nats.conf").read_text(encoding="utf-8")
    good, bad = nats_takes(config, tmp_path), nats_takes(config.replace("$NATS_PASSWORD", "$NOTHING"), tmp_path)

    assert good.returncode == 0, good.stderr
    assert bad.returncode != 0


@pytest.mark.cluster
def test_nats_takes_the_configuration_of_the_chart(tmp_path: Path) -> None:
    """Every replica of it: there is one."""
    done = nats_takes(render().one("ConfigMap", "nats")["data"]["nats.conf"], tmp_path)

    assert done.returncode == 0, done.stderr


@contextmanager
def minio(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[str]:
    """Run the bundled MinIO's command with /data in a folder; yields its address."""
    (port,) = free_ports(1)
    tools = folder / "bin"
    tools.mkdir()
    (tools / "minio").symlink_to(binaries.path("minio"))
    script = command[2].replace("/data", str(folder / "data")) + f" --address 127.0.0.1:{port}"
    search = f"{tools}:{os.environ['PATH']}"
    with subprocess.Popen([*command[:2], script], env={**environ, "PATH": search, "HOME": str(folder)}) as child:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            child.terminate()


def bundled(name: str) -> dict[str, Any]:
    """Return the container of a bundled store."""
    (found,) = render().one("StatefulSet", name)["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.cluster
async def test_minio_starts_with_its_bucket(tmp_path: Path) -> None:
    """A bucket that is missing is the first thing a service would refuse to start with."""
    keys = {"MINIO_ROOT_USER": "finetuneflow", "MINIO_ROOT_PASSWORD": SECRET}
    with minio(bundled("minio")["command"], keys, tmp_path) as address:
        client = Minio(address, "finetuneflow", SECRET, secure=False, region="us-east-1")

        async def there() -> bool:
            try:
                return bool(client.bucket_exists("finetuneflow"))
            except Exception:
                return False

        await until(there, "MinIO has the bucket", 20)


def test_compose_starts_minio_as_the_chart_does() -> None:
    """With the same bucket."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    script = compose["services"]["minio"]["entrypoint"][2]

    assert script in (ROOT / "deploy/chart/templates/bundled/minio.yaml").read_text(encoding="utf-8")
