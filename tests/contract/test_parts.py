"""Objects that trainers write in parts, by granted URLs and without any key."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from pathlib import Path

import pytest
from minio import Minio

from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.training.v1 import run_pb2
from services.common.errors import InvalidArgument, Unavailable
from services.common.jobwork.host import granted
from services.common.objects.s3 import MAX_PART_BYTES, S3Objects
from services.trainer import s3 as http
from services.trainer.transfer import send_parts
from services.trainer.uploads import upload
from services.trainer.worker import Worker
from tests.fakes import stores
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import QUICK, launch

PART = 5 << 20
"""The least that AWS and MinIO take as a part that is not the last."""


@pytest.fixture(params=["seaweedfs", pytest.param("minio", marks=pytest.mark.cluster)])
def s3(request: pytest.FixtureRequest) -> stores.S3:
    """A server of S3's protocol."""
    server: stores.S3 = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def name() -> str:
    """A bucket's name."""
    return f"p{secrets.token_hex(6)}"


@pytest.fixture
def bucket(s3: stores.S3, name: str) -> S3Objects:
    """An empty bucket that takes 5 MiB at once."""
    return S3Objects(s3.bucket(name), s3.keys, PART)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two parts and a rest."""
    path = tmp_path / "optimizer.pt"
    path.write_bytes(secrets.token_bytes(2 * PART + 100))
    return path


def grant(bucket: S3Objects, file: Path, upload: str = "") -> pb.GrantUploadResponse:
    """Return what a service grants for a file."""
    request = pb.GrantUploadRequest(size_bytes=file.stat().st_size, upload=upload)
    return asyncio.run(granted(bucket, "a/b", request))


def unfinished(s3: stores.S3, name: str) -> int:
    """Count the uploads that are neither completed nor aborted."""
    client = Minio(s3.address, *s3.keys, secure=False, region="us-east-1")
    return len(client._list_multipart_uploads(name, prefix="a/b").uploads)


def test_a_trainer_writes_a_large_file_in_parts(bucket: S3Objects, file: Path, tmp_path: Path) -> None:
    """What is stored is the file; a small one goes in one piece as ever."""
    small = tmp_path / "small"
    small.write_bytes(b"hello")
    with WorkerHost(tmp_path / "unused", run_pb2.TrainSpec(), objects=bucket) as host:
        worker = Worker(launch(host, tmp_path), QUICK)
        worker.begin()
        grants = [worker.grant("x", path.stat().st_size) for path in (file, small)]
        artifacts = [upload(worker, path, "checkpoint-1", path.name, QUICK) for path in (file, small)]
        worker.close()
    found = [asyncio.run(bucket.digest(artifact.key)) for artifact in artifacts]

    assert [len(g.part_urls) for g in grants] == [3, 0]
    assert [bool(g.url) for g in grants] == [False, True]
    assert [(f.size, f.sha256) for f in found] == [
        (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for path in (file, small)
    ]


def test_a_part_whose_url_is_refused_is_granted_anew(s3: stores.S3, name: str, bucket: S3Objects, file: Path) -> None:
    """Of the same upload: what was written before stays, and no other is begun."""
    first = grant(bucket, file)
    old = pb.GrantUploadResponse()
    old.CopyFrom(first)
    old.part_urls[1:] = [url.replace("X-Amz-Signature=", "X-Amz-Signature=0") for url in first.part_urls[1:]]
    asked: list[str] = []

    def renew() -> pb.GrantUploadResponse:
        asked.append(first.upload)
        return grant(bucket, file, first.upload)

    send_parts(file, old, QUICK, renew)

    assert len(asked) == 1
    assert asyncio.run(bucket.read("a/b")) == file.read_bytes()
    assert unfinished(s3, name) == 0


def test_parts_of_an_upload_that_came_to_nothing_are_removed(
    s3: stores.S3, name: str, bucket: S3Objects, file: Path
) -> None:
    """They would be kept, and paid for, unseen."""
    bad = grant(bucket, file)
    bad.part_urls[1] = bad.part_urls[1].replace("X-Amz-Signature=", "X-Amz-Signature=0")
    begun = unfinished(s3, name)
    with pytest.raises(Unavailable, match="part 2"):
        send_parts(file, bad, QUICK, lambda: bad)

    assert begun == 1
    assert unfinished(s3, name) == 0
    assert asyncio.run(bucket.size("a/b")) is None


def test_a_completion_that_was_not_heard_may_be_repeated(bucket: S3Objects, file: Path) -> None:
    """The upload is gone by then, and the object is there."""
    own = grant(bucket, file)
    tags = [http.put(file, url, n * PART, min(PART, 2 * PART + 100 - n * PART)) for n, url in enumerate(own.part_urls)]
    http.complete(own.complete_url, tags, again=False)
    http.complete(own.complete_url, tags, again=True)

    assert asyncio.run(bucket.read("a/b")) == file.read_bytes()


async def test_what_is_larger_than_s3_takes_is_refused() -> None:
    """Ten thousand parts of 5 GiB are the most; no request is made for it."""
    with pytest.raises(InvalidArgument, match="larger than S3 takes"):
        await S3Objects("s3://127.0.0.1:1/bucket").grant_parts("a", 10_000 * MAX_PART_BYTES + 1)
