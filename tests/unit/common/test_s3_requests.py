"""What answers of an S3 server mean that no server gives when it is asked to: one that fails after it said 200."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services.common.errors import Unavailable
from services.common.objects.s3requests import S3Requests, Taken
from services.common.objects.s3url import Bucket

Completing = Callable[[str], None]
RESULT = "<CompleteMultipartUploadResult><Key>a</Key><ETag>tag</ETag></CompleteMultipartUploadResult>"


@pytest.fixture
def complete() -> Iterator[Completing]:
    """Complete an object in parts at a server that answers 200 and a body."""
    said = b""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    bucket = Bucket(f"127.0.0.1:{server.server_port}", "models", secure=False)

    def ask(body: str) -> None:
        nonlocal said
        said = f'<?xml version="1.0" encoding="UTF-8"?>\n  {body}'.encode()
        S3Requests(bucket, ("access", "secret-key")).complete("a", "upload", ["tag"])

    yield ask
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_object_that_was_put_together_is_there(complete: Completing) -> None:
    """Nothing is raised."""
    complete(RESULT)


def test_an_error_after_a_200_is_no_object(complete: Completing) -> None:
    """Servers send the status before they know the end, so as not to seem dead meanwhile."""
    with pytest.raises(Unavailable, match="InternalError"):
        complete("<Error><Code>InternalError</Code><Message>Try again.</Message></Error>")


def test_a_name_that_was_taken_meanwhile_stays(complete: Completing) -> None:
    """Also where that is said after a 200."""
    with pytest.raises(Taken):
        complete("<Error><Code>PreconditionFailed</Code></Error>")
