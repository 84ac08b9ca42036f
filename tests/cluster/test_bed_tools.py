"""What stands beside the cluster: stores that can fail, and helm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nats
import pymongo
import pymongo.errors
import pytest
from minio import Minio

from tests.cluster.bed.cluster import Bed, HelmError
from tests.cluster.bed.stores import ACCESS_KEY, BUCKET, S3, SECRET_KEY, Stores

pytestmark = pytest.mark.cluster


def mongo(stores: Stores, **options: Any) -> pymongo.MongoClient[dict[str, Any]]:
    """Return a client of the database."""
    return pymongo.MongoClient(stores.mongo_url, **options)


def test_documents_outlast_a_stop_of_the_database(stores: Stores) -> None:
    """Away it answers nobody; started again, it has what it had."""
    with mongo(stores, serverSelectionTimeoutMS=500) as client:
        client["bed"]["things"].insert_one({"_id": "one", "n": 1})
        stores.mongo.stop()
        with pytest.raises(pymongo.errors.PyMongoError):
            client["bed"]["things"].find_one({"_id": "one"})
        stores.mongo.start()
    with mongo(stores) as client:
        found = client["bed"]["things"].find_one({"_id": "one"})
        client.drop_database("bed")

    assert found == {"_id": "one", "n": 1}


def test_the_bucket_is_there(stores: Stores) -> None:
    """With the keys that the Secrets of a release hold."""
    client = Minio(f"{S3[0]}:{S3[1]}", ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1")

    assert client.bucket_exists(BUCKET)
    assert stores.objects_url.startswith("s3://")


async def test_jetstream_is_on(stores: Stores) -> None:
    """Streams outlast a stop of the server."""
    connection = await nats.connect(stores.nats_url)
    await connection.jetstream().add_stream(name="bed", subjects=["bed.>"])
    await connection.jetstream().publish("bed.one", b"1")
    await connection.close()
    stores.nats.stop()
    stores.nats.start()
    connection = await nats.connect(stores.nats_url)
    found = await connection.jetstream().stream_info("bed")
    await connection.jetstream().delete_stream("bed")
    await connection.close()

    assert found.state.messages == 1


async def test_helm_installs_into_the_cluster(bed: Bed, space: str, tmp_path: Path) -> None:
    """The real helm, against the real API server; what it refuses is told."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n", encoding="utf-8")
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tiny}\ndata: {word: '{{ .Values.word }}'}\n"
    (tmp_path / "templates" / "map.yaml").write_text(template, encoding="utf-8")
    await bed.helm("install", "tiny", str(tmp_path), "--namespace", space, "--set", "word=hello")
    found = await bed.raw.get("configmaps", space, "tiny")
    with pytest.raises(HelmError, match="no-such-chart"):
        await bed.helm("install", "other", "/no-such-chart", "--namespace", space)

    assert found["data"] == {"word": "hello"}
