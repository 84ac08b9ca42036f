"""Logs and metrics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from prometheus_client import Counter, Histogram, start_http_server

from services.common.errors import Unavailable

_CALLS = Counter("ftf_grpc_calls", "gRPC calls handled.", ["method", "code"])
_SECONDS = Histogram("ftf_grpc_seconds", "Seconds that gRPC calls took.", ["method"])


def calls(method: str, code: str, seconds: float) -> None:
    """Count one handled call."""
    _CALLS.labels(method, code).inc()
    _SECONDS.labels(method).observe(seconds)


def serve_metrics(address: str) -> Callable[[], None]:
    """Serve /metrics at host:port in the form of Prometheus, open to whoever reaches it; return how to end that.

    Raises:
        Unavailable: the port is taken.
    """
    host, _, port = address.rpartition(":")
    try:
        server, _ = start_http_server(int(port), host)
    except (OSError, ValueError) as error:
        raise Unavailable(f"Metrics cannot be served at {address}. Choose another host:port.") from error

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


def set_up_logging(level: str = "INFO") -> None:
    """Write log lines to stderr: time, level, where, what. Called once, by a program's main."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
    )
    for noisy in ("httpx", "httpcore", "nats", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns of each try; when the last one fails, whoever asked says so.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
