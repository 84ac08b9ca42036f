"""What the ServiceAccounts may do: what their service needs, in the release's own namespace, and no wildcard."""

from __future__ import annotations

import pytest

from tests.unit.deploy.chart import NAMESPACE, SERVICES, Rendered, render

pytestmark = pytest.mark.cluster

Right = tuple[str, str, str]


def rights(rendered: Rendered, kind: str, name: str) -> set[Right]:
    """Return (group, resource, verb) of a role."""
    rules = rendered.one(kind, name)["rules"]
    return {(g, r, v) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def bound(rendered: Rendered, kind: str, name: str) -> set[str]:
    """Return the ServiceAccounts of a binding, all of them of the release's namespace."""
    subjects = rendered.one(kind, name)["subjects"]
    assert {(s["kind"], s["namespace"]) for s in subjects} == {("ServiceAccount", NAMESPACE)}
    return {s["name"] for s in subjects}


def test_training_and_export_run_jobs_and_nothing_else() -> None:
    """Jobs, their pods and logs, their place in a queue; the Secret and the Service that belong to a Job."""
    rendered = render()
    expected = {("batch", "jobs", verb) for verb in ("create", "get", "list", "watch", "patch", "delete")}
    expected |= {("", "pods", verb) for verb in ("get", "list", "watch", "delete")}
    expected |= {("", "pods/log", "get")}
    expected |= {("", "events", verb) for verb in ("get", "list", "watch")}
    expected |= {("visibility.kueue.x-k8s.io", "localqueues/pendingworkloads", "get")}
    for resource in ("secrets", "services"):
        expected |= {("", resource, verb) for verb in ("create", "get", "list", "patch", "delete")}

    assert rights(rendered, "Role", "jobs") == expected
    assert bound(rendered, "RoleBinding", "jobs") == {"finetuneflow-training", "finetuneflow-export"}


def test_hardware_sees_nodes_and_pods_of_the_whole_cluster() -> None:
    """And may change none."""
    rendered = render()

    assert {verb for _, _, verb in rights(rendered, "ClusterRole", "inventory")} == {"get", "list", "watch"}
    assert {what for _, what, _ in rights(rendered, "ClusterRole", "inventory")} == {"nodes", "pods"}
    assert bound(rendered, "ClusterRoleBinding", "inventory") == {"finetuneflow-hardware"}


def test_every_service_may_have_tokens_reviewed() -> None:
    """That is all it may do outside of its namespace."""
    rendered = render()

    assert rights(rendered, "ClusterRole", "tokenreview") == {("authentication.k8s.io", "tokenreviews", "create")}
    assert bound(rendered, "ClusterRoleBinding", "tokenreview") == {f"finetuneflow-{name}" for name in SERVICES}


def test_no_role_has_a_wildcard() -> None:
    """Each right is named."""
    for role in render().all("Role", "ClusterRole"):
        assert "*" not in str(role["rules"])


def test_the_trainer_has_no_rights_and_no_token() -> None:
    """It talks to its service alone."""
    rendered = render()
    bindings = rendered.all("RoleBinding", "ClusterRoleBinding")

    assert rendered.one("ServiceAccount", "trainer")["automountServiceAccountToken"] is False
    assert [b for b in bindings if any(s["name"] == "finetuneflow-trainer" for s in b["subjects"])] == []


def test_it_installs_without_any_right_over_the_cluster() -> None:
    """A tenant may have one namespace only."""
    rendered = render({"auth": {"tokenReview": False}, "hardware": {"inventory": "local"}})

    assert list(rendered.all("ClusterRole", "ClusterRoleBinding")) == []
