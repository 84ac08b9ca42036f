"""The stores of a release: real servers outside the cluster, as a company has them."""

from __future__ import annotations

from pathlib import Path

from services.common.natsserver import NatsServer
from tests.fakes.stores import KEYS, S3, ferretdb, minio

BUCKET = "finetuneflow"


class Stores:
    """MongoDB's protocol by FerretDB, S3 by MinIO, and NATS. Each can be ended and started again on its port."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet."""
        self.mongo = ferretdb(folder / "ferretdb")
        self.s3 = minio(folder / "minio")
        self.nats = NatsServer(folder / "nats")
        self.folder = folder

    async def start(self) -> None:
        """Start all, and make the bucket."""
        self.mongo.start()
        self.s3.start()
        await self.nats.start()
        self.bucket = S3(self.s3.address).bucket(BUCKET)

    async def stop(self) -> None:
        """End all."""
        await self.nats.stop()
        self.s3.stop()
        self.mongo.stop()

    def secrets(self) -> dict[str, dict[str, str]]:
        """Return the Secrets that the chart's values name."""
        return {
            "documents": {"url": f"mongodb://{self.mongo.address}/?directConnection=true"},
            "objects": {"access-key": KEYS[0], "secret-key": KEYS[1]},
            "nats": {"url": self.nats.url},
        }
