"""Real stores for tests: FerretDB for MongoDB's protocol, MinIO and SeaweedFS for S3's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio

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
    return Server(command, port, folder, environ)


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

    def url(self, name: str) -> str:
        """Return the URL of a bucket that need not exist."""
        return f"s3://{self.address}/{name}?secure=false"
