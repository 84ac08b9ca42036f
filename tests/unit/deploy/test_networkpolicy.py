"""Who may reach whom, as far as rendered objects tell."""

from __future__ import annotations

import pytest

from tests.unit.deploy.chart import SERVICES, TRIAL, Json, Rendered, external, render, try_render

pytestmark = pytest.mark.cluster
TRAINER = {"app.kubernetes.io/name": "finetuneflow-trainer", "app.kubernetes.io/instance": "finetuneflow"}
TOGETHER = {"key": "batch.kubernetes.io/job-completion-index", "operator": "Exists"}


def labels(component: str) -> dict[str, str]:
    """Return the labels of a component's pods."""
    own = {"app.kubernetes.io/name": "finetuneflow", "app.kubernetes.io/instance": "finetuneflow"}
    return TRAINER if component == "trainer" else {**own, "app.kubernetes.io/component": component}


def selects(selector: Json, found: dict[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    for rule in selector.get("matchExpressions", []):
        if rule["operator"] == "In" and found.get(rule["key"]) not in rule["values"]:
            return False
        if rule["operator"] == "Exists" and rule["key"] not in found:
            return False
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= found.items()


def reaches(rendered: Rendered, source: str, target: str, port: int, job: dict[str, str] | None = None) -> bool:
    """Whether pods of one component may call those of another: out of the one and into the other."""
    ends = [{**labels(one), **(job or {} if one == "trainer" else {})} for one in (source, target)]

    def allowed(direction: str, side: str, own: dict[str, str], other: dict[str, str]) -> bool:
        policies = [p["spec"] for p in rendered.all("NetworkPolicy") if selects(p["spec"]["podSelector"], own)]
        return not policies or any(
            (not rule.get("ports") or port in [p["port"] for p in rule["ports"]])
            and (
                side not in rule
                or any(
                    selects(peer["podSelector"], other)
                    for peer in rule[side]
                    if "podSelector" in peer and "namespaceSelector" not in peer
                )
            )
            for policy in policies
            for rule in policy.get(direction, [])
        )

    return allowed("egress", "to", ends[0], ends[1]) and allowed("ingress", "from", ends[1], ends[0])


def closed(**values: object) -> Rendered:
    """Render with callers from outside left out, so that only the release's own ways are there."""
    return render({"networkPolicy": {"clients": []}, **values})


def test_a_trainer_reaches_its_services_and_the_object_store_alone() -> None:
    """It reads what strangers wrote."""
    rendered = closed()
    ports = {**dict.fromkeys((*SERVICES, "minio"), 9000), "mongodb": 27017, "nats": 4222, "proxy": 9000}

    assert {name for name, port in ports.items() if reaches(rendered, "trainer", name, port)} == {
        "training",
        "export",
        "minio",
    }


def test_a_trainer_is_held_at_its_own_end_too() -> None:
    """Its policy names its two services, the object store and the cluster's DNS, whatever the others let in."""
    policy = closed().one("NetworkPolicy", "trainer")["spec"]
    peers = [peer for rule in policy["egress"] for peer in rule["to"]]
    named = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in peers if "podSelector" in peer
    ]
    others = [peer for peer in peers if "podSelector" not in peer]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert sorted(named) == ["export", "minio", "training"]
    assert others == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]


def test_a_trainer_reaches_the_hub_only_if_that_is_allowed() -> None:
    """And then everything but private networks, on one port."""

    def outside(rendered: Rendered) -> list[Json]:
        rules = rendered.one("NetworkPolicy", "trainer")["spec"]["egress"]
        return [rule for rule in rules for peer in rule["to"] if "ipBlock" in peer]

    (hub,) = outside(render({"hub": {"allow": True}}))

    assert outside(render()) == []
    assert hub["ports"] == [{"protocol": "TCP", "port": 443}]
    assert "10.0.0.0/8" in hub["to"][0]["ipBlock"]["except"]
    assert "169.254.0.0/16" in hub["to"][0]["ipBlock"]["except"]


def test_trainers_alone_reach_the_trackers_that_the_values_name() -> None:
    """MLflow in another namespace, say."""
    way = {"to": [{"namespaceSelector": {"matchLabels": {"name": "mlflow"}}}], "ports": [{"port": 5000}]}
    rendered = render({"networkPolicy": {"trackers": [way]}})
    having = {name for name in (*SERVICES, "trainer") if way in rendered.one("NetworkPolicy", name)["spec"]["egress"]}

    assert having == {"trainer"}


def test_trainers_do_not_reach_each_other_unless_they_train_together() -> None:
    """Pods of multi-pod Jobs find each other on any port; nobody else gets in."""
    rendered = closed()
    policy = rendered.one("NetworkPolicy", "rendezvous")["spec"]

    assert not reaches(rendered, "trainer", "trainer", 29500)
    assert reaches(rendered, "trainer", "trainer", 29500, job={TOGETHER["key"]: "0"})
    assert policy["podSelector"] == {"matchLabels": TRAINER, "matchExpressions": [TOGETHER]}
    assert not any(reaches(rendered, name, "trainer", 29500, job={TOGETHER["key"]: "0"}) for name in SERVICES)


@pytest.mark.parametrize("source", SERVICES)
@pytest.mark.parametrize("target", SERVICES)
def test_services_reach_each_other(source: str, target: str) -> None:
    """Over gRPC."""
    assert reaches(closed(), source, target, 9000)


@pytest.mark.parametrize("service", SERVICES)
def test_services_reach_the_bundled_stores(service: str) -> None:
    """All three of them."""
    rendered = closed()

    assert reaches(rendered, service, "mongodb", 27017)
    assert reaches(rendered, service, "minio", 9000)
    assert reaches(rendered, service, "nats", 4222)


def test_the_proxy_reaches_the_services_and_no_store() -> None:
    """It carries calls that have a token or have none."""
    rendered = closed()

    assert all(reaches(rendered, "proxy", name, 9000) for name in SERVICES)
    assert not reaches(rendered, "proxy", "mongodb", 27017)
    assert not reaches(rendered, "mongodb", "training", 9000)


def test_only_the_dataset_service_reaches_llms() -> None:
    """Where any is allowed."""
    way = {"to": [{"ipBlock": {"cidr": "10.9.9.9/32"}}]}
    rendered = external(llm={"allow": ["https://llm.example.com/"]}, networkPolicy={"llm": [way]} | NETWORK)
    having = {name for name in SERVICES if way in rendered.one("NetworkPolicy", name)["spec"]["egress"]}

    assert having == {"dataset"}


NETWORK = {
    "objectStorage": [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}],
    "databases": [{"to": [{"ipBlock": {"cidr": "10.1.2.4/32"}}]}],
}


def test_external_stores_are_reached_where_the_values_say() -> None:
    """Trainers reach the object store among them, and no database."""
    rendered = external(networkPolicy=NETWORK)
    trainer = rendered.one("NetworkPolicy", "trainer")["spec"]["egress"]
    service = rendered.one("NetworkPolicy", "ingest")["spec"]["egress"]

    assert NETWORK["objectStorage"][0] in trainer
    assert NETWORK["databases"][0] not in trainer
    assert NETWORK["objectStorage"][0] in service
    assert NETWORK["databases"][0] in service


def test_a_release_that_could_not_reach_its_stores_is_refused() -> None:
    """The message says what to set."""
    values = {
        "bundled": {"minio": {"enabled": False}},
        "objects": {"url": "s3://h/b", "accessKey": "a", "secretKey": "b"},
    }
    done = try_render(values, TRIAL)

    assert done.returncode != 0
    assert "networkPolicy.objectStorage" in done.stderr


def test_policies_can_be_left_out() -> None:
    """Some clusters make their own."""
    assert list(render({"networkPolicy": {"enabled": False}}).all("NetworkPolicy")) == []
