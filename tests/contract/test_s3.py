"""What is peculiar to S3: granted URLs, unfinished parts, servers that lack something, and outages."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from minio import Minio

from services.common.errors import Unavailable
from services.common.objects.port import BLOCK, Stored
from services.common.objects.s3 import S3Objects
from tests.fakes import stores
from tests.fakes.servers import started


@pytest.fixture(params=["seaweedfs", pytest.param("minio", marks=pytest.mark.cluster)])
def s3(request: pytest.FixtureRequest) -> stores.S3:
    """A server of S3's protocol."""
    server: stores.S3 = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def url(s3: stores.S3) -> str:
    """The URL of an empty bucket."""
    return s3.bucket(f"s{secrets.token_hex(6)}")


@pytest.fixture
def bucket(s3: stores.S3, url: str) -> S3Objects:
    """An empty bucket."""
    return S3Objects(url, s3.keys)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_granted_url_is_good_for_one_object_and_one_direction(bucket: S3Objects) -> None:
    """Without any key, and also before the object is there."""
    write, read = await bucket.grant("a/b", "write"), await bucket.grant("a/b", "read")
    async with httpx.AsyncClient() as client:
        missing = await client.get(read)
        put = await client.put(write, content=b"hello")
        got = await client.get(read)
        refused = [await client.put(read, content=b"x"), await client.get(read.replace("a/b", "a/c"))]

    assert (missing.status_code, put.status_code, got.content) == (404, 200, b"hello")
    assert [answer.status_code for answer in refused] == [403, 403]
    assert await bucket.digest("a/b") == Stored("a/b", 5, sha256(b"hello"))


async def test_a_granted_url_ends(bucket: S3Objects) -> None:
    """After its seconds."""
    await bucket.put("a", b"hello")
    url = await bucket.grant("a", "read", ttl=1)
    await asyncio.sleep(2.1)
    async with httpx.AsyncClient() as client:
        late = await client.get(url)

    assert late.status_code == 403


async def test_granted_urls_name_the_public_address(s3: stores.S3, url: str) -> None:
    """Where Jobs reach the server by another name; the signature is made for that name."""
    host = s3.address.replace("127.0.0.1", "localhost")
    bucket = S3Objects(f"{url}&public=http://{host}", s3.keys)
    granted = await bucket.grant("a", "write")
    async with httpx.AsyncClient() as client:
        put = await client.put(granted, content=b"hello")

    assert granted.startswith(f"http://{host}/")
    assert put.status_code == 200
    assert await bucket.read("a") == b"hello"


async def test_what_came_to_nothing_leaves_no_parts(s3: stores.S3, url: str, bucket: S3Objects) -> None:
    """They would be kept, and paid for, unseen."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * 20 * BLOCK
        raise ConnectionResetError

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * BLOCK

    with pytest.raises(ConnectionResetError):
        await bucket.put("a", failing())
    task = asyncio.create_task(bucket.put("b", endless()))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    client = Minio(s3.address, *s3.keys, secure=False, region="us-east-1")
    left = [client._list_multipart_uploads(url.split("/")[3].split("?")[0], prefix=key).uploads for key in ("a", "b")]

    assert left == [[], []]


async def test_an_outage_is_unavailable_and_passes(tmp_path: Path) -> None:
    """Started again, it has what it had, and takes what it did not get."""
    server = stores.seaweedfs(tmp_path / "weed")
    with started(server):
        own = stores.S3(server.address)
        bucket = S3Objects(own.bucket("outage"), own.keys)
        await bucket.put("a", b"hello")
        server.stop()
        began = time.monotonic()
        with pytest.raises(Unavailable, match="bucket outage at"):
            await bucket.read("a")
        with pytest.raises(Unavailable):
            await bucket.put("b", b"x")
        waited = time.monotonic() - began
        server.start()
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unavailable):  # its volumes come back a moment after its port
                    content = await bucket.read("a"), (await bucket.put("b", b"x")).size
                    break
                await asyncio.sleep(0.2)

    assert waited < 10
    assert content == (b"hello", 1)


class Plain(BaseHTTPRequestHandler):
    """An S3 server that has never heard of If-None-Match, and breaks off the first bodies in the middle."""

    objects: dict[str, tuple[bytes, str]]
    breaks: int
    refuses: bool

    def do_PUT(self) -> None:
        """Store, whatever is there."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if type(self).refuses and "If-None-Match" in self.headers:
            self.reply(501, b"<Error><Code>NotImplemented</Code></Error>")
            return
        self.objects[self.path] = (data, self.headers.get("x-amz-meta-sha256", ""))
        self.reply(200, b"")

    def do_DELETE(self) -> None:
        """Forget."""
        self.objects.pop(self.path, None)
        self.reply(204, b"")

    def do_HEAD(self) -> None:
        """Say the size."""
        self.do_GET()

    def do_GET(self) -> None:
        """Give all, or what a range asks for; some of it while there are breaks left."""
        data, digest = self.objects.get(self.path, (None, ""))
        if data is None:
            self.reply(404, b"<Error><Code>NoSuchKey</Code></Error>" if self.command == "GET" else b"")
            return
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response_only(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.send_header("x-amz-meta-sha256", digest)
        self.end_headers()
        if self.command == "GET":
            broken = type(self).breaks > 0
            type(self).breaks -= broken
            self.wfile.write(data[first : first + BLOCK + 1000] if broken else data[first:])
        self.close_connection = True

    def reply(self, status: int, body: bytes) -> None:
        """Answer without an object."""
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def plain() -> Iterator[type[Plain]]:
    """Such a server; its class has its address as `url`."""
    handler = type("Own", (Plain,), {"objects": {}, "breaks": 0, "refuses": False})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.url = f"s3://127.0.0.1:{server.server_port}/bucket?secure=false"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("refuses", [True, False], ids=["refuses the header", "ignores the header"])
async def test_nothing_is_overwritten_where_the_server_cannot_tell(plain: type[Plain], refuses: bool) -> None:
    """The check finds it out; from then on every write looks first."""
    plain.refuses = refuses
    bucket = S3Objects(plain.url, ("a", "b"))  # type: ignore[attr-defined]
    await bucket.check()
    left = dict(plain.objects)
    first = await bucket.put("a", b"first")

    assert left == {}
    assert await bucket.put("a", b"second") == first
    assert await bucket.read("a") == b"first"


async def test_a_body_that_breaks_off_goes_on_where_it_was(plain: type[Plain]) -> None:
    """Twice; a third time is the caller's to repeat."""
    content = bytes(range(256)) * 16_384
    bucket = S3Objects(plain.url, ("a", "b"))  # type: ignore[attr-defined]
    await bucket.put("a", content)
    plain.breaks = 2

    assert await bucket.read("a") == content
    plain.breaks = 3
    with pytest.raises(Unavailable, match="in the middle"):
        await bucket.read("a")
