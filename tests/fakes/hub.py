"""A model hub on loopback: a real HTTP server that speaks the part of the Hugging Face API that is used.

GET /api/models/{id}[/revision/{revision}]      what the hub says about a model
GET /api/models/{id}/tree/{revision}            its files
GET, HEAD /{id}/resolve/{revision}/{file}       a file, or a range of it
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

TOKEN = "hf_a-token-with-access"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
_TREE = re.compile(r"/api/models/(.+?)/tree/([^/?]+)(/[^?]*)?(?:\?.*)?")
_API = re.compile(r"/api/models/(.+?)(?:/revision/([^/?]+))?(?:\?.*)?")
_FILE = re.compile(r"/(.+)/resolve/([^/]+)/(.+)")


@dataclass
class HubModel:
    """A model on the hub.

    Args:
        files: name → content.
        gated: whether its files need the token.
        tags: such as "license:mit".
        broken: HTTP status that every question about it gets; 0 for none.
        broken_files: name → HTTP status that questions about the file get.
    """

    files: Mapping[str, bytes]
    gated: bool = False
    tags: tuple[str, ...] = ()
    broken: int = 0
    broken_files: Mapping[str, int] = field(default_factory=dict)


@dataclass
class FakeHub:
    """The hub; use it as a context manager."""

    models: dict[str, HubModel] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(_Handler):
            """Answers for this hub."""

            models = hub.models
            asked = hub.asked

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The hub's endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}"


def folder_files(folder: Path) -> dict[str, bytes]:
    """Return a model folder's files as a hub keeps them."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class _Handler(BaseHTTPRequestHandler):
    models: Mapping[str, HubModel]
    asked: list[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(self.path)
        self.asked.append(path)
        if found := _TREE.fullmatch(path):
            self._tree(found[1], found[2], found[3] or "")
        elif found := _API.fullmatch(path):
            self._model(found[1], found[2] or "main")
        elif found := _FILE.fullmatch(path):
            self._file(found[1], found[2], found[3])
        else:
            self._refuse(404, "RepoNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _known(self, hub_id: str, revision: str) -> HubModel | None:
        model = self.models.get(hub_id)
        if model is None:
            self._refuse(401, "RepoNotFound")  # as the hub answers those without a token
        elif model.broken:
            self._refuse(model.broken, "")
        elif revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            return model
        return None

    def _model(self, hub_id: str, revision: str) -> None:
        model = self._known(hub_id, revision)
        if model is None:
            return
        about: dict[str, Any] = {
            "id": hub_id,
            "modelId": hub_id,
            "sha": COMMIT,
            "gated": "manual" if model.gated else False,
            "private": False,
            "tags": list(model.tags),
            "siblings": [_sibling(name, content) for name, content in model.files.items()],
        }
        self._answer(200, json.dumps(about).encode(), {"Content-Type": "application/json"})

    def _tree(self, hub_id: str, revision: str, folder: str) -> None:
        model = self._known(hub_id, revision)
        if model and folder:
            self._refuse(404, "EntryNotFound")
        elif model:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in model.files.items()
            ]
            self._answer(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})

    def _file(self, hub_id: str, revision: str, filename: str) -> None:
        model = self._known(hub_id, revision)
        if model is None:
            return
        given = self.headers.get("Authorization", "")
        if model.gated and given != f"Bearer {TOKEN}":
            self._refuse(403 if given else 401, "GatedRepo")
        elif filename in model.broken_files:
            self._refuse(model.broken_files[filename], "")
        elif filename not in model.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._range(model.files[filename])

    def _range(self, content: bytes) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not found:
            tag = hashlib.sha1(content).hexdigest()
            self._answer(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"'})
            return
        first, last = int(found[1]), min(int(found[2]), len(content) - 1)
        headers = {"X-Repo-Commit": COMMIT, "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._answer(206, content[first : last + 1], headers)

    def _refuse(self, status: int, code: str) -> None:
        headers = {"X-Error-Code": code, "X-Repo-Commit": COMMIT, "Content-Type": "application/json"}
        self._answer(status, b'{"error": "refused"}', headers)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
    if name.endswith((".safetensors", ".bin")):
        sha256 = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
    return sibling
