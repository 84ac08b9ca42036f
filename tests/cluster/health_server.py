"""A program for pods: gRPC health at the address given, until SIGTERM: python health_server.py HOST:PORT."""

from __future__ import annotations

import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SETTLING = 0.5  # seconds before it is ready


def main() -> None:
    """Serve."""
    server = grpc.server(ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(sys.argv[1])
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    time.sleep(SETTLING)
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    ended.wait()
    server.stop(1).wait()


if __name__ == "__main__":
    main()
