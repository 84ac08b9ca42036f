"""A store of objects by HTTP that behaves as a test says: refuses, breaks off, moves, expires."""

from __future__ import annotations

import socket
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Store(ThreadingHTTPServer):
    """An object store over HTTP that can be out of order for a while, in many ways.

    `failures` is taken from, one for each request: a status, ("cut", bytes) to break the connection in mid-body,
    (status, name) with S3's name for the error, or "unheard" to do it and break off before the answer.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.failures: list[Any] = []
        self.requests = 0
        self.ranges: list[str] = []
        self.ranged = True
        self.signature = ""
        self.once = False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that left."""


class _Handler(BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        failure = self._failure()
        if isinstance(failure, tuple) and failure[0] == "cut":
            self.rfile.read(failure[1])
            self._break()
            return
        if failure is not None and failure != "unheard":
            self._answer(failure)
            self._break()
            return
        data = self.rfile.read(int(self.headers["Content-Length"]))
        key = urlsplit(self.path).path
        if self.server.once and key in self.server.objects:
            self._answer((412, "PreconditionFailed"))
            return
        self.server.objects[key] = data
        if failure == "unheard":
            self._break()
        else:
            self._answer(200)

    def do_GET(self) -> None:
        failure = self._failure()
        key = urlsplit(self.path).path
        if failure is None and key not in self.server.objects:
            failure = (404, "NoSuchKey")
        if failure is not None and failure[0] != "cut":
            self._answer(failure)
            return
        data = self.server.objects[key]
        asked = self.headers.get("Range", "")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranged else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + failure[1] if failure else len(data)
        self.wfile.write(data[start:end])
        if failure:
            self.close_connection = True

    def _failure(self) -> Any:
        self.server.requests += 1
        if self.server.signature and self.server.signature not in self.path:
            return (403, "AccessDenied")
        failure = self.server.failures.pop(0) if self.server.failures else None
        return (failure, "") if isinstance(failure, int) else failure

    def _answer(self, what: Any) -> None:
        status, name = what if isinstance(what, tuple) else (what, "")
        body = f"<Error><Code>{name}</Code></Error>".encode() if name else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _break(self) -> None:
        """Reset the connection, whatever the other side still sends."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
