"""`ftf push` to a hub: what is told when it refuses, does not answer, or is not to be reached."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory

from finetuneflow_client.cli.main import main
from finetuneflow_client.errors import FtfError
from finetuneflow_client.pushing import Login, push_hub


class Refusing(BaseHTTPRequestHandler):
    """Answers everything with the status that the path of the endpoint names."""

    def do_POST(self) -> None:
        """Refuse."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    """URL of a hub that refuses, reached even where HF_HUB_OFFLINE is set."""
    huggingface_hub.set_client_factory(lambda: httpx2.Client(timeout=5))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    huggingface_hub.set_client_factory(default_client_factory)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "UNAUTHENTICATED", "refuses the token"),
        (403, "UNAUTHENTICATED", "refuses the token"),
        (400, "INVALID_ARGUMENT", "HTTP 400"),
    ],
)
def test_a_hub_that_refuses_is_told(hub: str, tmp_path: Path, status: int, code: str, words: str) -> None:
    """With what to do."""
    with pytest.raises(FtfError, match=words) as caught:
        push_hub(tmp_path, "me/model", Login(secret="t"), endpoint=f"{hub}/{status}")

    assert caught.value.code == code


def test_a_hub_that_is_not_there_is_told(hub: str, tmp_path: Path) -> None:
    """No connection is no mistake of ours."""
    with pytest.raises(FtfError, match="does not answer") as caught:
        push_hub(tmp_path, "me/model", Login(secret="t"), endpoint="http://127.0.0.1:9")

    assert caught.value.code == "UNAVAILABLE"


def test_offline_nothing_is_asked(tmp_path: Path) -> None:
    """Where HF_HUB_OFFLINE is set, as in these tests."""
    with pytest.raises(FtfError, match="HF_HUB_OFFLINE") as caught:
        push_hub(tmp_path, "me/model", Login(secret="t"))

    assert caught.value.code == "FAILED_PRECONDITION"


def test_only_what_was_signed_goes_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without an attestation, and a destination that is none."""
    (tmp_path / "config.json").write_text("{}")
    code = main(["push", str(tmp_path), "oci://127.0.0.1:9/team/handbook:1"])

    assert code != 0
    assert capsys.readouterr().err.startswith("ftf: ")
