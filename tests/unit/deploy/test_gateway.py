"""One address for clients: Gateway API, Ingress, or the bundled proxy. All three know the whole contract."""

from __future__ import annotations

import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from tests.unit.deploy.chart import ROOT, Rendered, external, render, try_render
from tests.unit.deploy.contract import EXPECTED

pytestmark = pytest.mark.cluster


def route(rendered: Rendered) -> dict[str, str]:
    """Return the protobuf services of the GRPCRoute and where each goes."""
    rules = rendered.one("GRPCRoute", "")["spec"]["rules"]
    return {
        match["method"]["service"]: rule["backendRefs"][0]["name"].removeprefix("finetuneflow-")
        for rule in rules
        for match in rule["matches"]
    }


def test_a_route_leads_every_call_to_its_service() -> None:
    """The full name of the protobuf service decides."""
    rendered = external(gateway={"enabled": True, "parentRefs": [{"name": "public"}], "hostname": "f.example.com"})
    spec = rendered.one("GRPCRoute", "")["spec"]

    assert route(rendered) == EXPECTED
    assert spec["parentRefs"] == [{"name": "public"}]
    assert spec["hostnames"] == ["f.example.com"]
    assert {ref["port"] for rule in spec["rules"] for ref in rule["backendRefs"]} == {9000}


def test_a_gateway_of_its_own_ends_tls() -> None:
    """With the certificate of the Secret that is named."""
    values = {"enabled": True, "create": True, "className": "eg", "hostname": "f.example.com", "tlsSecret": "cert"}
    rendered = external(gateway=values)
    (listener,) = rendered.one("Gateway", "")["spec"]["listeners"]

    assert (listener["protocol"], listener["port"]) == ("HTTPS", 443)
    assert listener["tls"]["certificateRefs"] == [{"kind": "Secret", "name": "cert"}]
    assert rendered.one("GRPCRoute", "")["spec"]["parentRefs"] == [{"name": "finetuneflow"}]


def test_a_route_without_a_gateway_is_refused() -> None:
    """It would be accepted by the API server and lead nowhere."""
    done = try_render({"gateway": {"enabled": True}}, ROOT / "deploy/chart/examples/trial.yaml")

    assert done.returncode != 0
    assert "gateway.parentRefs" in done.stderr


def test_an_ingress_leads_to_the_same_services() -> None:
    """A call's path begins with the name of the protobuf service."""
    rendered = external(
        ingress={"enabled": True, "hostname": "f.example.com", "tlsSecret": "cert", "className": "nginx"}
    )
    spec = rendered.one("Ingress", "")["spec"]
    (rule,) = spec["rules"]
    paths = {
        path["path"].removeprefix("/"): path["backend"]["service"]["name"].removeprefix("finetuneflow-")
        for path in rule["http"]["paths"]
    }

    assert paths == EXPECTED
    assert rule["host"] == "f.example.com"
    assert spec["tls"] == [{"hosts": ["f.example.com"], "secretName": "cert"}]
    assert {path["pathType"] for path in rule["http"]["paths"]} == {"Prefix"}


def test_the_bundled_proxy_leads_to_the_same_services() -> None:
    """Without ending calls that watch a run."""
    rendered = render()
    config = yaml.safe_load(rendered.one("ConfigMap", "proxy")["data"]["envoy.yaml"])["static_resources"]
    (listener,) = config["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    addresses = {
        cluster["name"]: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        for cluster in config["clusters"]
    }

    assert {one["match"]["prefix"].strip("/"): one["route"]["cluster"] for one in routes} == EXPECTED
    assert {one["route"]["timeout"] for one in routes} == {"0s"}
    assert manager["stream_idle_timeout"] == "0s"
    assert set(addresses) == set(EXPECTED.values())
    assert addresses["export"]["socket_address"]["address"] == "finetuneflow-export.flow.svc"


def test_there_is_no_way_in_that_nobody_asked_for() -> None:
    """All three are off unless the values say otherwise."""
    assert list(external().all("GRPCRoute", "Gateway", "Ingress")) == []
    assert {one["spec"]["type"] for one in external().all("Service") if "type" in one["spec"]} == set()
