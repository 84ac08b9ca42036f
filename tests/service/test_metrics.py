"""Metrics for Prometheus, where they are asked for."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import httpx
import pytest

from finetuneflow.training.v1 import training_service_pb2 as pb
from finetuneflow.training.v1 import training_service_pb2_grpc
from services.common.errors import Unavailable
from services.training.compose import compose
from tests.fakes.running import serving


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


async def test_calls_are_counted_by_method_and_code(tmp_path: Path) -> None:
    """At /metrics, in the form of Prometheus."""
    address = f"127.0.0.1:{free_port()}"
    async with serving(tmp_path, {"training": compose}, metrics=address) as served, served.channel() as channel:
        await training_service_pb2_grpc.TrainingServiceStub(channel).ListRuns(pb.ListRunsRequest(parent="projects/p"))
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"http://{address}/metrics")).text

    method = "/finetuneflow.training.v1.TrainingService/ListRuns"
    counted = re.search(rf'^ftf_grpc_calls_total{{code="OK",method="{re.escape(method)}"}} (\S+)$', text, re.MULTILINE)
    assert counted
    assert float(counted[1]) >= 1  # counters are the process's, whose other tests may have called it, too


async def test_a_taken_port_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Before anything is served."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(Unavailable) as caught:
            async with serving(tmp_path, {"training": compose}, metrics=address):
                pass

    assert "Choose another" in str(caught.value)
