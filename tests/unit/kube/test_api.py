"""Answers of the Kubernetes API, and the errors of ours that they become."""

from __future__ import annotations

import json
import socket

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from services.common.errors import (
    AlreadyExists,
    Conflict,
    FineTuneFlowError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from services.common.kube.api import Expired, KubeApi, refusal
from tests.fakes.kubernetes import FakeKubernetes, serving

ANSWERS = [
    (400, "BadRequest", InvalidArgument),
    (401, "Unauthorized", Unavailable),
    (403, "Forbidden", PermissionDenied),
    (404, "NotFound", NotFound),
    (409, "AlreadyExists", AlreadyExists),
    (409, "Conflict", Conflict),
    (410, "Expired", Expired),
    (413, "RequestEntityTooLarge", InvalidArgument),
    (422, "Invalid", InvalidArgument),
    (429, "TooManyRequests", Unavailable),
    (500, "InternalError", Unavailable),
    (503, "ServiceUnavailable", Unavailable),
    (504, "Timeout", Unavailable),
]


@pytest.mark.parametrize(("code", "reason", "expected"), ANSWERS)
def test_every_answer_has_its_error(code: int, reason: str, expected: type[FineTuneFlowError]) -> None:
    """With the server's words, except about tokens."""
    error = refusal(code, json.dumps({"reason": reason, "message": "its words"}), {})

    assert type(error) is expected
    assert ("its words" in error.message) == (code != 401)


def test_how_long_to_wait_is_the_servers_to_say() -> None:
    """Within reason."""
    assert refusal(429, "", {"Retry-After": "7"}).retry_after == 7
    assert refusal(503, "", {"Retry-After": "86400"}).retry_after == 30
    assert refusal(503, "<html>gateway", {}).retry_after == 0


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """The message ends with what to do, and holds no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with ApiClient(Configuration(host=f"http://127.0.0.1:{port}")) as client:
        api = KubeApi(client, "ns")

        with pytest.raises(Unavailable, match=r"does not answer .* see to the control plane"):
            await api.get(api.path("pods"))


async def test_rights_that_are_missing_are_a_matter_of_configuration() -> None:
    """What is read, changed or removed is refused by roles alone; what is made may break a rule."""
    fake = FakeKubernetes()
    fake.troubles += [
        (403, {}, 'pods is forbidden: User "x" cannot list resource "pods"'),
        (403, {}, "violates a rule"),
    ]
    async with serving(fake) as client:
        api = KubeApi(client, "ns")
        with pytest.raises(Unavailable, match="the chart's Role") as caught:
            await api.get(api.path("pods"))
        with pytest.raises(PermissionDenied, match="violates a rule"):
            await api.create(api.path("pods"), {})

    assert caught.value.reason == "CONFIGURATION"


def test_paths() -> None:
    """Of the core group and of others, of collections, objects and their parts."""
    with_client = KubeApi.__new__(KubeApi)
    with_client.namespace = "ns"

    assert with_client.path("pods") == "/api/v1/namespaces/ns/pods"
    assert with_client.path("pods", "a", "log") == "/api/v1/namespaces/ns/pods/a/log"
    assert with_client.path("batch/v1/jobs", "j") == "/apis/batch/v1/namespaces/ns/jobs/j"
