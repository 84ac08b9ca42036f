"""Jobs on a real API server: once, whoever asks; ended, kept and cleared away as they must be."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from services.common.errors import Unavailable
from services.common.jobs.port import Resources
from services.common.kube.api import Expired, KubeApi
from services.common.kube.jobs import KubernetesJobs
from services.common.kube.manifest import selector
from services.common.kube.template import JobTemplate
from services.common.kube.watch import Mirror
from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until
from tests.cluster.runners import IMAGE, PYTHON, RELEASE, Room, ended, log, reach, room, running, spec, waits_for
from tests.unit.deploy.chart import external

pytestmark = pytest.mark.cluster

FOREVER = "import time; print('up'); time.sleep(300)"
ONCE_BADLY = """
import pathlib, sys, time
print("went")
sys.exit({code})
"""


@pytest.fixture
async def space(bed: Bed, tmp_path: Path) -> AsyncIterator[Room]:
    """A namespace for Jobs."""
    async with room(bed, tmp_path) as found:
        yield found


async def test_two_replicas_at_once_make_one_job(bed: Bed, space: Room) -> None:
    """With one Secret that belongs to it, and both know it."""
    async with bed.kubelet():
        one, two = await space.runner(), await space.runner()
        specs = [spec(f"run-{n}-1", "print('once')") for n in "abcdefgh"]
        await asyncio.gather(*(runner.ensure(s) for s in specs for runner in (one, two, one)))
        for job in specs:
            await reach(one, job.name, ended)
            await reach(two, job.name, ended)
        logs = [await log(two, job.name) for job in specs]
        secrets = await bed.raw.list("secrets", space.namespace)
        owners = {s["metadata"]["name"]: [o["uid"] for o in s["metadata"]["ownerReferences"]] for s in secrets}
        jobs = {
            j["metadata"]["name"]: [j["metadata"]["uid"]] for j in await bed.raw.list("batch/v1/jobs", space.namespace)
        }

    assert logs == [["once"]] * 8
    assert owners == jobs
    assert len(jobs) == 8


@pytest.mark.parametrize("code", [3, 4])
async def test_an_exit_code_that_means_never_ends_the_job_at_once(bed: Bed, space: Room, code: int) -> None:
    """One pod, however many the backoff limit allows."""
    async with bed.kubelet():
        jobs = await space.runner(backoff_limit=5)
        await jobs.ensure(spec("run-a-1", ONCE_BADLY.format(code=code)))
        status = await reach(jobs, "run-a-1", ended)
        pods = await space.pods("run-a-1")

    assert (status.state, status.exit_code, status.reason) == ("FAILED", code, "")
    assert len(pods) == 1


async def test_a_crash_is_repeated_and_every_pods_log_is_kept(bed: Bed, space: Room) -> None:
    """In between the Job waits and says so; at the end it has failed with the last exit code."""
    async with bed.kubelet():
        jobs = await space.runner(backoff_limit=1)
        program = "import os; print(os.environ['FTF_POD_UID']); raise SystemExit(1)"
        await jobs.ensure(spec("run-a-1", program))
        await reach(jobs, "run-a-1", waits_for("CRASHED"))
        status = await reach(jobs, "run-a-1", ended, 40)
        pods = [pod["metadata"]["uid"] for pod in await space.pods("run-a-1")]
        live = await log(jobs, "run-a-1")

        async def kept() -> list[str]:
            keys = [key async for key in space.objects.list("runs/a/logs/0001/")]
            return keys if len(keys) == 2 else []

        keys = await until(kept, "both logs are kept")
        await bed.raw.delete("batch/v1/jobs", space.namespace, "run-a-1", propagationPolicy="Background")
        await until(lambda: _none(space), "the pods are gone")
        afterwards = await log(jobs, "run-a-1")

    assert (status.state, status.exit_code, status.reason) == ("FAILED", 1, "")
    assert live == pods
    assert afterwards == pods
    assert [await space.objects.read(key) for key in keys] == [f"{uid}\n".encode() for uid in pods]


async def _none(space: Room) -> bool:
    return not await space.pods("run-a-1")


async def test_a_pod_that_saved_and_left_is_followed_by_another(bed: Bed, space: Room) -> None:
    """Exit code 143 is no failure, whatever the backoff limit."""
    async with bed.kubelet():
        jobs = await space.runner(backoff_limit=0)
        await jobs.ensure(spec("run-a-1", "print('went'); raise SystemExit(143)"))
        await until(lambda: _two(space), "a second pod")
        status = await jobs.get("run-a-1")
        await jobs.stop("run-a-1", 1)

    assert status is not None
    assert status.state in ("PENDING", "RUNNING")


async def _two(space: Room) -> bool:
    return len(await space.pods("run-a-1")) >= 2


async def test_pods_of_several_nodes_find_each_other(bed: Bed, space: Room) -> None:
    """An Indexed Job with a headless Service that goes with it; the first waits for the other, as trainers do."""
    program = """
import os, socket, time
host, port = os.environ["FTF_MASTER"].rsplit(":", 1)
index = os.environ["JOB_COMPLETION_INDEX"]
if index == "0":
    with socket.create_server(("", int(port))) as server:
        server.settimeout(20)
        server.accept()
end = time.monotonic() + 20
while True:
    try:
        address = socket.getaddrinfo(host, int(port), socket.AF_INET)[0][4][0]
        if index != "0":
            socket.create_connection((address, int(port)), 5).close()
        break
    except OSError:
        assert time.monotonic() < end
        time.sleep(0.2)
print(index, os.environ["FTF_NODES"], os.environ["FTF_PROCESSES"], host, address)
"""
    async with bed.kubelet():
        jobs = await space.runner()
        await jobs.ensure(spec("run-a-1", program, resources=Resources(nodes=2)))
        status = await reach(jobs, "run-a-1", ended)
        pods = await space.pods("run-a-1")
        lines = sorted(await log(jobs, "run-a-1"))
        await jobs.delete("run-a-1")
        services = await bed.raw.list("services", space.namespace)
    first = next(p for p in pods if p["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "0")
    address = first["status"]["podIP"]

    assert status.state == "SUCCEEDED"
    assert lines == [f"0 2 1 run-a-1-0.run-a-1 {address}", f"1 2 1 run-a-1-0.run-a-1 {address}"]
    assert services == []


async def test_secrets_are_in_a_secret_and_nowhere_else(bed: Bed, space: Room) -> None:
    """Not in a Job, a pod or an event, in plain text or otherwise; the namespace enforces the restricted standard."""
    async with bed.kubelet():
        jobs = await space.runner()
        await jobs.ensure(spec("run-a-1", "print('done')"))
        await reach(jobs, "run-a-1", ended)
        kinds = ("batch/v1/jobs", "pods", "events", "services", "configmaps")
        everything = json.dumps([await bed.raw.list(kind, space.namespace) for kind in kinds])
        secret = await bed.raw.get("secrets", space.namespace, "run-a-1")
    encoded = base64.b64encode(b"s3cret-of-the-launch").decode()

    assert secret["data"] == {"launch_token": encoded}
    assert "s3cret" not in everything
    assert encoded not in everything


async def test_the_charts_role_is_enough(bed: Bed, space: Room) -> None:
    """For everything that the runner does, as the ServiceAccount of the training service."""
    role = external().one("Role", "jobs")
    await bed.raw.create("serviceaccounts", space.namespace, {"metadata": {"name": "training"}})
    body = {"metadata": {"name": "jobs"}, "rules": role["rules"]}
    await bed.raw.create("rbac.authorization.k8s.io/v1/roles", space.namespace, body)
    binding = {
        "metadata": {"name": "jobs"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jobs"},
        "subjects": [{"kind": "ServiceAccount", "name": "training", "namespace": space.namespace}],
    }
    await bed.raw.create("rbac.authorization.k8s.io/v1/rolebindings", space.namespace, binding)
    asked = {"spec": {"audiences": []}}
    token = await bed.raw.create("serviceaccounts", space.namespace, asked, "token", "training")
    settings = Configuration(host=bed.api.configuration.host, ssl_ca_cert=bed.api.configuration.ssl_ca_cert)
    settings.api_key["BearerToken"] = f"Bearer {token['status']['token']}"
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    await bed.raw.create("resourcequotas", space.namespace, quota)
    async with bed.kubelet(), ApiClient(settings) as client:
        jobs = KubernetesJobs(
            client, JobTemplate(f"{IMAGE}:1", command=PYTHON), space.objects, RELEASE, namespace=space.namespace
        )
        await jobs.start()
        await jobs.ensure(spec("run-a-1", FOREVER, resources=Resources(queue="team")))
        await reach(jobs, "run-a-1", running)
        await jobs.ensure(spec("run-b-1", FOREVER, resources=Resources(nodes=2)))
        await reach(jobs, "run-b-1", waits_for("QUOTA"))
        await jobs.tidy()
        await jobs.stop("run-a-1", 1)
        lines = await log(jobs, "run-a-1")
        for name in ("run-a-1", "run-b-1"):
            await jobs.delete(name)
        left = [await bed.raw.list(kind, space.namespace) for kind in ("batch/v1/jobs", "secrets", "services")]
        await jobs.close()

    assert lines == ["up"]
    assert left == [[], [], []]


async def test_a_job_that_nobody_removes_goes_after_its_time(bed: Bed, space: Room) -> None:
    """With its pod and its Secret; its log stays."""
    async with bed.kubelet():
        jobs = await space.runner(ttl_seconds_after_finished=1)
        await jobs.ensure(spec("run-a-1", "print('done')"))

        async def gone() -> bool:
            return await jobs.get("run-a-1") is None and not await bed.raw.list("secrets", space.namespace)

        await until(gone, "the Job is gone")
        await until(lambda: _none(space), "the pod is gone")
        await until(lambda: _unlisted(jobs), "the list knows")

    assert await log(jobs, "run-a-1") == ["done"]


async def _unlisted(jobs: object) -> bool:
    return await jobs.list() == []  # type: ignore[attr-defined]  # a KubernetesJobs


async def test_a_secret_without_its_owner_is_given_to_its_job(bed: Bed, space: Room) -> None:
    """What a replica that was killed in the middle left undone."""
    jobs = await space.runner()
    await jobs.ensure(spec("run-a-1", FOREVER))
    await bed.raw.patch("secrets", space.namespace, "run-a-1", {"metadata": {"ownerReferences": None}})
    await jobs.tidy()
    secret = await bed.raw.get("secrets", space.namespace, "run-a-1")

    assert [o["uid"] for o in secret["metadata"]["ownerReferences"]] == [
        (await space.job("run-a-1"))["metadata"]["uid"]
    ]


async def test_the_api_server_may_be_away(bed: Bed, space: Room) -> None:
    """Calls fail as Unavailable meanwhile; afterwards everything goes on, with what happened in between."""
    async with bed.kubelet():
        jobs = await space.runner()
        told: list[float] = []
        jobs.listen(lambda: told.append(time.monotonic()))
        await jobs.ensure(spec("run-a-1", "import time; print('up'); time.sleep(6); print('down')"))
        await reach(jobs, "run-a-1", running)
        bed.control.kill("kube-apiserver")
        await asyncio.sleep(0.5)
        with pytest.raises(Unavailable):
            await jobs.get("run-a-1")
        with pytest.raises(Unavailable):
            await jobs.ensure(spec("run-b-1", "print('late')"))
        remembered = [(s.name, s.state) for s in await jobs.list()]
        back = time.monotonic()
        await until(lambda: _answers(bed), "the API server is back", 60)
        status = await reach(jobs, "run-a-1", ended, 60)
        await jobs.ensure(spec("run-b-1", "print('late')"))
        await reach(jobs, "run-b-1", ended, 60)
        lines = await log(jobs, "run-a-1")
        # The restarted server no longer knows the changes from the beginning; its words are what the mirror goes by.
        mirror = Mirror(KubeApi(bed.api, space.namespace), "pods", selector(RELEASE), lambda kind, pod: None)
        with pytest.raises(Expired):
            await mirror._watch("1")

    assert remembered == [("run-a-1", "RUNNING")]
    assert status.state == "SUCCEEDED"
    assert lines == ["up", "down"]
    assert max(told) > back


async def _answers(bed: Bed) -> bool:
    return bool(await bed.raw.call("GET", "/version"))
