"""Real stores for tests: FerretDB for MongoDB's protocol, MinIO and SeaweedFS for S3's."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider

from tests.fakes.servers import Server, free_ports

BINARIES = "FTF_CLUSTER_BIN"
MONGO_URL = "FTF_TEST_MONGO_URL"
KEYS = ("test-access", "test-secret-key")


def binary(name: str) -> str:
    """Return the path of a server that `make test-cluster` built; without it the test fails and says so."""
    path = Path(os.environ.get(BINARIES, "")) / name
    if not os.environ.get(BINARIES) or not path.is_file():
        pytest.fail(f"There is no {path}. Build the servers and run these tests with `make test-cluster`.")
    return str(path)


def nats_server() -> str:
    """Return the path of nats-server, which its package brings along."""
    return str(Path(sys.executable).with_name("nats-server"))


def ferretdb(folder: Path) -> Server:
    """Return a server of MongoDB's protocol, over SQLite files."""
    (port,) = free_ports(1)
    command = [binary("ferretdb"), "--listen", f"127.0.0.1:{port}", "--dir", str(folder / "data")]
    return Server(command, port, folder, {})


def minio(folder: Path) -> Server:
    """Return MinIO over one folder."""
    port, console = free_ports(2)
    command = [binary("minio"), "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    command += ["--console-address", f"127.0.0.1:{console}", str(folder / "data")]
    environ = {
        "MINIO_ROOT_USER": KEYS[0],
        "MINIO_ROOT_PASSWORD": KEYS[1],
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
    }
    # Before that, MinIO may keep a request waiting for a minute.
    return Server(command, port, folder, environ, ready="/minio/health/cluster")


def seaweedfs(folder: Path) -> Server:
    """Return SeaweedFS, which its package brings along."""
    names = ("s3", "master", "volume", "filer", "admin")
    ports = free_ports(2 * len(names) + 1)
    command = [str(Path(sys.executable).with_name("weed")), "-logdir", str(folder), "mini", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", f"-dir={folder / 'data'}", f"-admin.dataDir={folder / 'admin'}"]
    command += [f"-{name}.port={port}" for name, port in zip(names, ports[::2], strict=False)]
    command += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[1::2], strict=False)]
    # A bucket takes a volume at least, and there are as many as the free disk holds: of 1 GiB each unless told.
    command += ["-master.volumeSizeLimitMB=16"]
    command += ["-master.telemetry=false", "-webdav=false", "-admin.ui=false", f"-metricsPort={ports[-1]}"]
    command += ["-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={folder}/s3"]
    command += [f"-filer.localSocket={folder}/filer"]
    (folder / "data").mkdir(parents=True)
    (folder / "admin").mkdir()
    return Server(command, ports[0], folder, {"AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1]})


@dataclass(frozen=True)
class S3:
    """An S3 server with its keys.

    Args:
        address: host:port.
        keys: access key and secret key that may do everything.
    """

    address: str
    keys: tuple[str, str] = KEYS

    def bucket(self, name: str) -> str:
        """Make a bucket and return its URL."""
        Minio(self.address, *self.keys, secure=False, region="us-east-1").make_bucket(name)
        return self.url(name)

    def reader(self) -> tuple[str, str]:
        """Return keys that may only read; MinIO alone makes them this way."""
        keys = ("reader", "reader-secret-key")
        admin = MinioAdmin(endpoint=self.address, credentials=StaticProvider(*self.keys), secure=False)
        admin.user_add(*keys)
        admin.policy_set("readonly", user=keys[0])
        return keys

    def url(self, name: str) -> str:
        """Return the URL of a bucket that need not exist."""
        return f"s3://{self.address}/{name}?secure=false"
