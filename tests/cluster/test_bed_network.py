"""The bed's network: probes, endpoints, DNS and the gateway, as clients and services meet them."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.cluster.bed.cluster import Bed
from tests.cluster.bed.waits import until
from tests.cluster.manifests import container, deployment, log, phase, pod, python, run, service, start

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("node")]

Json = dict[str, Any]
PORT = 9000
HEALTH = Path(__file__).with_name("health_server.py")
IP: Json = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def healthy(**more: Any) -> Json:
    """Return a container that serves gRPC health, ready half a second after its start."""
    probe = {"grpc": {"port": PORT}, "periodSeconds": 1, "failureThreshold": 1}
    return container(sys.executable, str(HEALTH), "$(POD_IP):9000", env=[IP], readinessProbe=probe, **more)


async def available(bed: Bed, namespace: str, name: str, replicas: int) -> None:
    """Wait until a Deployment's replicas are available."""

    async def there() -> bool:
        found = await bed.raw.get("apps/v1/deployments", namespace, name)
        return bool(found["status"].get("availableReplicas", 0) == replicas)

    await until(there, f"{name} has {replicas} replicas")


async def endpoints(bed: Bed, namespace: str, name: str, count: int) -> None:
    """Wait until a Service has so many ready endpoints; the controllers take up to a second after the pods."""

    async def there() -> bool:
        label = f"kubernetes.io/service-name={name}"
        slices = await bed.raw.list("discovery.k8s.io/v1/endpointslices", namespace, labelSelector=label)
        found = [one for part in slices for one in part.get("endpoints") or []]
        return [one["conditions"].get("ready") for one in found] == [True] * count

    await until(there, f"{name} has {count} endpoints")


async def resolve(bed: Bed, namespace: str, *names: str, pod_name: str) -> list[str]:
    """Return, for each name, the addresses that a pod gets for it, joined by commas; "-" for none."""
    program = """
import socket, sys
for name in sys.argv[1:]:
    try:
        print(",".join(sorted({found[4][0] for found in socket.getaddrinfo(name, 9000, socket.AF_INET)})))
    except socket.gaierror:
        print("-")
"""
    _, text = await run(bed, namespace, pod(python(program, *names)), pod_name)
    return text.splitlines()


async def test_a_deployment_is_ready_when_its_probes_say_so_and_dns_follows(bed: Bed, space: str) -> None:
    """Names of headless Services give all ready pods, and no pod that is not ready."""
    await bed.raw.create("services", space, service("web", PORT))
    await bed.raw.create("apps/v1/deployments", space, deployment("web", pod(healthy()), 2))
    await available(bed, space, "web", 2)
    await endpoints(bed, space, "web", 2)
    pods = await bed.raw.list("pods", space, labelSelector="app=web")
    names = ("web", f"web.{space}.svc", f"web.{space}.svc.cluster.local", "nobody", "localhost")
    short, middle, full, unknown, own = await resolve(bed, space, *names, pod_name="asker")
    await bed.raw.patch("apps/v1/deployments", space, "web", {"spec": {"replicas": 1}})
    await available(bed, space, "web", 1)

    async def one_left() -> bool:
        return len(await bed.raw.list("pods", space, labelSelector="app=web")) == 1

    await until(one_left, "one pod is left")
    await endpoints(bed, space, "web", 1)
    left = (await bed.raw.list("pods", space, labelSelector="app=web"))[0]
    after = await resolve(bed, space, "web", pod_name="later")

    assert short == middle == full == ",".join(sorted(one["status"]["podIP"] for one in pods))
    assert (unknown, own) == ("-", "127.0.0.1")
    assert after == [left["status"]["podIP"]]


async def test_pods_of_an_indexed_job_find_each_other_by_name(bed: Bed, space: str) -> None:
    """`JOB-0.JOB`, as torchrun's rendezvous needs it, by getaddrinfo and by gRPC's resolver, ready or not."""
    body = service("team", PORT, selector={"job-name": "team"}, publishNotReadyAddresses=True)
    await bed.raw.create("services", space, body)
    program = f"""
import os, runpy, socket, sys
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
if os.environ["JOB_COMPLETION_INDEX"] == "0":
    sys.argv = ["", os.environ["POD_IP"] + ":9000"]
    runpy.run_path({str(HEALTH)!r}, run_name="__main__")
with grpc.insecure_channel("dns:///team-0.team:9000") as channel:
    reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=20)
print(socket.gethostname(), "found", socket.gethostbyname("team-0.team"), reply.status > 0)
"""
    main = python(program, env=[IP])
    template = {"spec": pod(main, subdomain="team")}
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "template": template}
    await bed.raw.create("batch/v1/jobs", space, {"metadata": {"name": "team"}, "spec": spec})

    async def found_each_other() -> Json | None:
        pods = await bed.raw.list("pods", space, labelSelector="batch.kubernetes.io/job-completion-index=1")
        return next((one for one in pods if one["status"]["phase"] == "Succeeded"), None)

    second = await until(found_each_other, "the second pod found the first")
    assert second
    first = (await bed.raw.list("pods", space, labelSelector="batch.kubernetes.io/job-completion-index=0"))[0]
    text = await log(bed, space, second["metadata"]["name"])

    assert text == f"team-1 found {first['status']['podIP']} True\n"


async def test_a_liveness_probe_restarts_and_prestop_goes_first(bed: Bed, space: str) -> None:
    """A container that no longer answers is ended and started anew."""
    probe = {"exec": {"command": ["sh", "-c", "! test -e /work/bad"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "test -e /work/hook && sleep 600; touch /work/bad; trap 'exit 1' TERM; while :; do sleep 0.05; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "touch /work/hook; rm /work/bad"]}}}
    main = container("sh", "-c", script, livenessProbe=probe, lifecycle=hook)
    main["volumeMounts"] = [{"name": "work", "mountPath": "/work"}]
    spec = pod(main, restartPolicy="Always", volumes=[{"name": "work", "emptyDir": {}}])
    await start(bed, space, "one", spec)

    async def restarted() -> bool:
        found = (await phase(bed, space, "one", "Running"))["status"]["containerStatuses"][0]
        return bool(found["restartCount"] == 1 and "running" in found["state"])

    assert await until(restarted, "it was started anew")


async def unknown(channel: grpc.aio.Channel) -> None:
    """Call what no service has."""
    call: Any = channel.unary_unary("/no.Such/Call")
    await call(b"")


async def test_the_gateway_routes_calls_by_service_to_ready_pods(bed: Bed, space: str) -> None:
    """By the GRPCRoutes of the namespace; calls that no route takes are not implemented."""
    await bed.gateway_api()
    await bed.raw.create("services", space, service("web", PORT))
    await bed.raw.create("apps/v1/deployments", space, deployment("web", pod(healthy())))
    rule = {
        "matches": [{"method": {"service": "grpc.health.v1.Health"}}],
        "backendRefs": [{"name": "web", "port": PORT}],
    }
    route = {"metadata": {"name": "web"}, "spec": {"parentRefs": [{"name": "gateway"}], "rules": [rule]}}
    route |= {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute"}
    await bed.raw.create("gateway.networking.k8s.io/v1/grpcroutes", space, route)
    await available(bed, space, "web", 1)
    async with bed.gateway(space) as address, grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest()

        async def serves() -> bool:
            try:
                reply = await health_pb2_grpc.HealthStub(channel).Check(request, metadata=[("x-test", "1")])
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE):
                    return False
                raise
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

        await until(serves, "the route is served", 15)
        watch = health_pb2_grpc.HealthStub(channel).Watch(request)
        first = await watch.read()
        watch.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="no.such"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await unknown(channel)

    assert first.status == health_pb2.HealthCheckResponse.SERVING
    assert missing.value.code() == grpc.StatusCode.NOT_FOUND
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_gateway_serves_with_the_certificate_of_a_secret(bed: Bed, space: str) -> None:
    """TLS ends at the gateway."""
    await bed.gateway_api()
    folder = bed.kubeconfig.parent / "certs"
    pair = {
        name: (folder / f"apiserver.{kind}").read_bytes() for name, kind in (("tls.crt", "crt"), ("tls.key", "key"))
    }
    data = {name: base64.b64encode(content).decode() for name, content in pair.items()}
    await bed.raw.create("secrets", space, {"metadata": {"name": "tls"}, "type": "kubernetes.io/tls", "data": data})
    trust = grpc.ssl_channel_credentials(pair["tls.crt"])
    named = [("grpc.ssl_target_name_override", "kubernetes.default.svc")]
    async with bed.gateway(space, tls="tls") as address, grpc.aio.secure_channel(address, trust, named) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await unknown(channel)

    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
