"""What a service refuses to start with, each time with the remedy and without a secret."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from services.common.bus import Bus
from services.common.documents.port import Documents
from services.common.documents.sqlite import SqliteDocuments
from services.common.errors import FineTuneFlowError, NotReady, Unavailable
from services.common.objects.folder import FolderObjects
from services.common.objects.port import Objects
from services.common.startup import check
from services.common.stores import open_documents, open_objects
from tests.fakes import stores
from tests.fakes.servers import Server, free_ports, started

SECRET = "s3cret-that-nobody-may-see"


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Documents]:
    store = SqliteDocuments(tmp_path / "documents.db")
    yield store
    await store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Objects:
    return FolderObjects(tmp_path / "objects")


@pytest.fixture
def away() -> Bus:
    """A bus without a server."""
    return Bus()


@pytest.fixture
def run_nats(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts plain nats-servers and returns their addresses."""
    with contextlib.ExitStack() as stack:

        def run(*options: str) -> str:
            (port,) = free_ports(1)
            command = [stores.nats_server(), "-a", "127.0.0.1", "-p", str(port), *options]
            server = stack.enter_context(started(Server(command, port, tmp_path / f"nats-{port}", {})))
            return server.address

        yield run


class Clock(BaseHTTPRequestHandler):
    """An S3 server that takes everything, an hour ahead."""

    def answer(self) -> None:
        """Answer any method."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response_only(200 if self.command != "DELETE" else 204)
        self.send_header("Date", email.utils.formatdate(time.time() + 3600, usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def late_s3() -> Iterator[str]:
    """The URL of a bucket whose server's clock is an hour ahead."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Clock)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"s3://127.0.0.1:{server.server_port}/bucket?secure=false"
    server.shutdown()
    thread.join()
    server.server_close()


async def refused(documents: Documents, objects: Objects, bus: Bus) -> FineTuneFlowError:
    """Return the error of a check that must fail at once, for a setting is wrong."""
    began = time.monotonic()
    with pytest.raises(FineTuneFlowError) as caught:
        await check(documents, objects, bus)
    assert caught.value.reason == "CONFIGURATION"
    assert time.monotonic() - began < 20
    return caught.value


async def test_stores_in_order_are_no_news(sqlite: Documents, folder: Objects, away: Bus) -> None:
    """Without NATS too, for events wait."""
    await check(sqlite, folder, away)


async def test_a_bucket_that_is_missing_is_named(
    sqlite: Documents, away: Bus, seaweedfs: stores.S3, caplog: pytest.LogCaptureFixture
) -> None:
    """With the setting that names it."""
    objects = open_objects(seaweedfs.url("no-such-bucket"), seaweedfs.keys)

    error = await refused(sqlite, objects, away)

    assert "no bucket no-such-bucket" in error.message
    assert "FTF_OBJECTS (objects.url of the chart)" in error.message


@pytest.mark.parametrize("keys", [(stores.KEYS[0], SECRET), ("nobody", SECRET)], ids=["wrong secret", "unknown key"])
async def test_keys_that_are_wrong_are_not_shown(
    sqlite: Documents, away: Bus, seaweedfs: stores.S3, keys: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the error nor in a log at its finest level."""
    caplog.set_level(logging.DEBUG)
    seaweedfs.bucket(f"keys-{keys[0]}")

    error = await refused(sqlite, open_objects(seaweedfs.url(f"keys-{keys[0]}"), keys), away)

    assert "AWS_SECRET_ACCESS_KEY (objects.existingSecret of the chart)" in error.message
    assert SECRET not in error.message + caplog.text


@pytest.mark.cluster
async def test_keys_that_may_only_read_are_refused(
    sqlite: Documents, away: Bus, minio: stores.S3, tmp_path: Path
) -> None:
    """A service that cannot write its bucket would fail at its first upload."""
    keys = minio.reader()
    url = minio.bucket("readonly")

    error = await refused(sqlite, open_objects(url, keys), away)

    assert "AccessDenied" in error.message


@pytest.mark.cluster
async def test_a_missing_bucket_and_wrong_keys_of_minio(sqlite: Documents, away: Bus, minio: stores.S3) -> None:
    """MinIO says both in its own way."""
    missing = await refused(sqlite, open_objects(minio.url("no-such-bucket"), minio.keys), away)
    wrong = await refused(sqlite, open_objects(minio.bucket("wrong-keys"), (minio.keys[0], SECRET)), away)

    assert "no bucket no-such-bucket" in missing.message
    assert "SignatureDoesNotMatch" in wrong.message
    assert SECRET not in wrong.message


async def test_a_clock_that_is_wrong_is_refused(sqlite: Documents, away: Bus, late_s3: str) -> None:
    """Signed requests and leases would fail later, without saying why."""
    error = await refused(sqlite, open_objects(late_s3, ("a", "b")), away)

    assert isinstance(error, NotReady)
    assert "3600 s ahead of this machine's" in error.message
    assert "NTP" in error.message


async def test_jetstream_must_be_on(sqlite: Documents, folder: Objects, run_nats: Callable[..., str]) -> None:
    """A NATS that keeps no events."""
    bus = await Bus.connect(f"nats://{run_nats()}")

    error = await refused(sqlite, folder, bus)
    with pytest.raises(Unavailable, match="JetStream is off"):
        await bus.publish("ftf.events.x", b"x", "id")
    await bus.close()

    assert "nats-server --jetstream" in error.message


async def test_copies_need_servers(
    sqlite: Documents, folder: Objects, run_nats: Callable[..., str], tmp_path: Path
) -> None:
    """Three copies on one NATS server."""
    address = run_nats("--jetstream", "--store_dir", str(tmp_path / "js"))
    bus = await Bus.connect(f"nats://{address}", replicas=3)

    error = await refused(sqlite, folder, bus)
    await bus.close()

    assert "FTF_NATS_REPLICAS (nats.replicas of the chart)" in error.message


async def test_a_password_that_nats_refuses_is_not_shown(
    sqlite: Documents, folder: Objects, run_nats: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """While a NATS that is only away is waited for, for ever."""
    caplog.set_level(logging.DEBUG)
    bus = await Bus.connect(f"nats://ftf:{SECRET}@{run_nats('--user', 'ftf', '--pass', 'right')}")

    error = await refused(sqlite, folder, bus)
    await bus.close()

    assert "FTF_NATS_URL (nats of the chart)" in error.message
    assert SECRET not in error.message + caplog.text


async def test_a_password_with_any_characters_may_be_percent_encoded(run_nats: Callable[..., str]) -> None:
    """As in MongoDB's URLs: those that mean something in a URL would break it."""
    password = "p@:/?#[]%25ss"
    address = run_nats("--user", "ft/f", "--pass", password)
    bus = await Bus.connect(f"nats://ft%2Ff:{quote(password, safe='')}@{address}")
    connected = bus.connected
    await bus.close()

    assert connected


async def test_a_database_that_stays_away_is_waited_for_within_bounds(folder: Objects, away: Bus) -> None:
    """Then the message says where it was looked for, without the password."""
    (port,) = free_ports(1)
    url = f"mongodb://ftf:{SECRET}@127.0.0.1:{port}/?serverSelectionTimeoutMS=200"
    documents = await open_documents(url, "training")
    began = time.monotonic()

    with pytest.raises(Unavailable) as caught:
        await check(documents, folder, away, patience=1.5)
    await documents.close()

    assert 1.5 < time.monotonic() - began < 20
    assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"
    assert f"127.0.0.1:{port}" in caught.value.message
    assert SECRET not in caught.value.message


@pytest.mark.cluster
async def test_a_database_that_comes_late_is_waited_for(
    folder: Objects, away: Bus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a whole installation starts at once."""
    server = stores.ferretdb(tmp_path)
    documents = await open_documents(f"mongodb://{server.address}/?serverSelectionTimeoutMS=300", "training")
    checking = asyncio.create_task(check(documents, folder, away, patience=20))
    await asyncio.sleep(1)
    with started(server):
        await checking
        await documents.close()

    assert "does not answer yet" in caplog.text


@pytest.mark.cluster
async def test_a_password_that_mongodb_refuses_is_not_shown(
    mongo_url: str, folder: Objects, away: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is anything of a driver's log."""
    caplog.set_level(logging.DEBUG)
    documents = await open_documents(mongo_url.replace("mongodb://", f"mongodb://ftf:{SECRET}@"), "training")

    error = await refused(documents, folder, away)
    await documents.close()

    assert "readWrite" in error.message
    assert SECRET not in error.message + caplog.text


@pytest.mark.cluster
async def test_a_database_of_a_newer_version_is_refused(mongo_url: str, folder: Objects, away: Bus) -> None:
    """Rather than guessed at."""
    from pymongo import MongoClient

    with MongoClient[dict[str, object]](mongo_url) as client:
        client["finetuneflow_newer"]["_meta"].replace_one({"_id": "store_version"}, {"value": 99}, upsert=True)
    documents = await open_documents(mongo_url, "newer")

    with pytest.raises(NotReady, match="newer FineTuneFlow"):
        await check(documents, folder, away)
    await documents.close()
