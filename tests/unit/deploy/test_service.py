"""Services and what keeps them available: headless, budgets, autoscaling."""

from __future__ import annotations

import pytest

from tests.unit.deploy.chart import SERVICES, render

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_headless_and_finds_its_own_pods(service: str) -> None:
    """Clients see every ready pod, and balance over them."""
    rendered = render()
    spec = rendered.one("Service", service)["spec"]
    labels = rendered.one("Deployment", service)["spec"]["template"]["metadata"]["labels"]

    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is False
    assert spec["selector"].items() <= labels.items()
    assert {(port["name"], port["port"]) for port in spec["ports"]} == {("grpc", 9000), ("metrics", 9090)}
    assert spec["ports"][0]["appProtocol"] == "kubernetes.io/h2c"


def test_no_two_components_have_pods_in_common() -> None:
    """Selectors tell services and stores apart."""
    rendered = render()
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in rendered.all("Deployment", "StatefulSet")]
    for one in rendered.all("Deployment", "StatefulSet"):
        wanted = one["spec"]["selector"]["matchLabels"].items()
        assert sum(wanted <= found.items() for found in labels) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_drained_node_takes_one_pod_at_a_time(service: str) -> None:
    """A budget for each, which a pod that is not ready does not block."""
    rendered = render()
    spec = rendered.one("PodDisruptionBudget", service)["spec"]

    assert spec["maxUnavailable"] == 1
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert spec["selector"] == rendered.one("Deployment", service)["spec"]["selector"]


def test_what_scales_by_itself_has_no_fixed_number() -> None:
    """An upgrade would otherwise undo what the autoscaler did."""
    scaling = {"enabled": True, "minReplicas": 2, "maxReplicas": 9}
    rendered = render({"services": {"ingest": {"autoscaling": scaling}, "dataset": {"autoscaling": scaling}}})
    scaler = rendered.one("HorizontalPodAutoscaler", "dataset")["spec"]

    assert rendered.names("HorizontalPodAutoscaler") == {"finetuneflow-ingest", "finetuneflow-dataset"}
    assert scaler["scaleTargetRef"]["name"] == "finetuneflow-dataset"
    assert scaler["maxReplicas"] == 9
    assert "replicas" not in rendered.one("Deployment", "ingest")["spec"]
    assert rendered.one("Deployment", "training")["spec"]["replicas"] == 1
