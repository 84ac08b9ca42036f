"""What Prometheus and Grafana get: nothing unless it is asked for, then a monitor, rules and a board."""

from __future__ import annotations

import json

import pytest

from tests.unit.deploy.chart import NAMESPACE, RELEASE, SERVICES, render

pytestmark = pytest.mark.cluster

ON = {
    "monitoring": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "alerts": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "runbooks": "https://docs.example.com/operations/",
        },
        "dashboard": {"enabled": True},
    }
}


def test_nothing_is_made_unless_it_is_asked_for() -> None:
    """Clusters without the Prometheus Operator do not know its kinds."""
    kinds = {one["kind"] for one in render().objects}

    assert kinds & {"PodMonitor", "PrometheusRule"} == set()
    assert f"{RELEASE}-dashboard" not in render().names("ConfigMap")


def test_the_monitor_finds_the_pods_of_all_services_and_no_others() -> None:
    """At the port that each of them names."""
    rendered = render(ON)
    monitor = rendered.one("PodMonitor", "")
    (among,) = monitor["spec"]["selector"]["matchExpressions"]
    pod = rendered.one("Deployment", "training")["spec"]["template"]
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}

    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert sorted(among["values"]) == sorted(SERVICES)
    assert {point["port"] for point in monitor["spec"]["podMetricsEndpoints"]} <= ports


def test_the_alerts_are_of_this_release_and_lead_to_its_documentation() -> None:
    """Namespace, names of pods and links are put in; what Prometheus puts in stays."""
    rule = render(ON).one("PrometheusRule", "")
    (group,) = rule["spec"]["groups"]
    text = json.dumps(group)
    links = {found["annotations"]["runbook_url"].partition("#")[0] for found in group["rules"]}

    assert [word for word in ("NAMESPACE", "RELEASE", "RUNBOOKS") if word in text] == []
    assert f'namespace=\\"{NAMESPACE}\\"' in text
    assert "{{ $labels.pod }}" in text
    assert links == {"https://docs.example.com/operations/"}


def test_the_board_comes_as_grafanas_sidecar_looks_for_it() -> None:
    """JSON under a label."""
    board = render(ON).one("ConfigMap", "dashboard")

    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["finetuneflow.json"])["title"] == "FineTuneFlow"
