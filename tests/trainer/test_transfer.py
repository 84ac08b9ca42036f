"""Bytes to and from granted URLs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.common.errors import NotReady, Unavailable
from services.trainer.transfer import fetch, send, sha256_file
from tests.trainer.runs import QUICK


class Store(ThreadingHTTPServer):
    """An object store over HTTP that can be out of order for a while."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.failures: list[int] = []
        self.requests = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._fails():
            self.server.objects[self.path] = data
            self._answer(200, b"")

    def do_GET(self) -> None:
        if not self._fails():
            self._answer(200, self.server.objects[self.path])

    def _fails(self) -> bool:
        self.server.requests += 1
        if self.server.failures:
            self._answer(self.server.failures.pop(0), b"")
            return True
        return False

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def store() -> Iterator[Store]:
    """A store that serves."""
    server = Store()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three megabytes."""
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 12_000)
    return path


def test_a_file_travels_over_http_and_back(store: Store, file: Path, tmp_path: Path) -> None:
    """A store that answers 503 for a while only makes it later."""
    store.failures = [503, 503]
    send(file, f"{store.url}/key?signature=x", QUICK)
    store.failures = [500]
    back = fetch(f"{store.url}/key?signature=x", sha256_file(file), tmp_path / "a" / "back.bin", QUICK, "It")

    assert back.read_bytes() == file.read_bytes()
    assert store.requests == 5


def test_a_refused_url_is_not_tried_again(store: Store, file: Path) -> None:
    """403 means that the grant is used up or was never good."""
    store.failures = [403]
    with pytest.raises(Unavailable):
        send(file, f"{store.url}/key", QUICK)

    assert store.requests == 1


def test_a_store_that_stays_away_is_given_up(file: Path) -> None:
    """After the patience that a call has."""
    with pytest.raises(Unavailable):
        send(file, "http://127.0.0.1:9/key", replace(QUICK, call=0.3))


def test_bytes_with_another_hash_are_not_kept(file: Path, tmp_path: Path) -> None:
    """Neither under the name nor beside it."""
    target = tmp_path / "in" / "target.bin"
    with pytest.raises(NotReady) as caught:
        fetch(file.as_uri(), "0" * 64, target, QUICK, "Dataset")

    assert caught.value.reason == "HASH_MISMATCH"
    assert "Dataset is damaged" in caught.value.message
    assert list(target.parent.iterdir()) == []


def test_a_file_url_gets_its_name_only_when_it_is_whole(file: Path, tmp_path: Path) -> None:
    """Names with spaces and percent signs are names too."""
    target = tmp_path / "a b%20c" / "object"
    send(file, target.as_uri(), QUICK)

    assert sha256_file(target) == sha256_file(file)
    assert [p.name for p in target.parent.iterdir()] == ["object"]
