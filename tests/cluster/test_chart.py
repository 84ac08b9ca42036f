"""The chart against a real API server: what it takes, what the restricted standard lets through, what RBAC allows."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from tests.cluster.bed.waits import until

if TYPE_CHECKING:
    from tests.cluster.bed.cluster import Bed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
CHART = Path(__file__).parents[2] / "deploy" / "chart"
TRIAL, PRODUCTION = (CHART / "examples" / f"{name}.yaml" for name in ("trial", "production"))
SERVICES = ("ingest", "dataset", "hardware", "training", "export")
# Beside the production example: everything that it leaves off.
MORE: dict[str, Any] = {
    "gateway": {"create": True, "className": "eg", "tlsSecret": "cert"},
    "ingress": {"enabled": True, "className": "nginx", "hostname": "f.example.com", "tlsSecret": "cert"},
    "hub": {"allow": True, "existingSecret": {"name": "hub"}},
    "models": {"existingClaim": "", "create": True},
    "image": {"pullPolicy": "Always"},
    "priorityClassName": "",
}
LIMITED = {"auth": {"tokenReview": False}, "hardware": {"inventory": "local"}, "networkPolicy": {"enabled": False}}


async def install(bed: Bed, verb: str, namespace: str, folder: Path, *files: Path, **values: Any) -> None:
    """Install or upgrade the release."""
    own = folder / "values.yaml"
    own.write_text(yaml.safe_dump(values), encoding="utf-8")
    given = [word for file in (*files, own) for word in ("--values", str(file))]
    await bed.helm(verb, "finetuneflow", str(CHART), "--namespace", namespace, *given)


async def secrets(bed: Bed, namespace: str) -> dict[str, dict[str, str]]:
    """Return the chart's Secrets and what is in them."""
    found = await bed.raw.list("secrets", namespace, labelSelector="app.kubernetes.io/name=finetuneflow")
    return {one["metadata"]["name"]: one.get("data") or {} for one in found}


async def may(
    bed: Bed, namespace: str, account: str, verb: str, resource: str, group: str = "", where: str = ""
) -> bool:
    """Whether RBAC lets a ServiceAccount of the release do something; where: another namespace than the release's."""
    resource, _, sub = resource.partition("/")
    attributes = {"verb": verb, "resource": resource, "subresource": sub, "group": group}
    user = f"system:serviceaccount:{namespace}:finetuneflow-{account}"
    body = {"spec": {"user": user, "resourceAttributes": {**attributes, "namespace": where or namespace}}}
    found = await bed.raw.create("authorization.k8s.io/v1/subjectaccessreviews", "", body)
    return bool(found["status"]["allowed"])


async def has_pods(bed: Bed, namespace: str, components: set[str]) -> bool:
    """Whether admission let pods of all these components through."""
    pods = await bed.raw.list("pods", namespace)
    return components <= {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}


async def test_pods_of_a_trial_pass_the_restricted_standard(bed: Bed, tmp_path: Path) -> None:
    """Services, stores and the proxy: the API server makes all of their pods."""
    namespace = await bed.namespace(enforce="restricted")
    await install(bed, "install", namespace, tmp_path, TRIAL)

    await until(
        lambda: has_pods(bed, namespace, {*SERVICES, "mongodb", "minio", "nats", "proxy"}),
        "every component has a pod",
        30,
    )
    await bed.helm("uninstall", "finetuneflow", "--namespace", namespace)


@pytest.mark.parametrize("values", [{}, MORE, LIMITED], ids=["production", "everything", "limited"])
async def test_the_api_server_takes_every_object(bed: Bed, tmp_path: Path, values: dict[str, Any]) -> None:
    """With no field that it does not know, of the Gateway API too."""
    await bed.gateway_api()
    namespace = await bed.namespace(enforce="restricted")
    await install(bed, "install", namespace, tmp_path, PRODUCTION, **values)

    await until(lambda: has_pods(bed, namespace, set(SERVICES)), "every service has a pod", 30)
    await bed.helm("uninstall", "finetuneflow", "--namespace", namespace)


async def test_an_upgrade_keeps_what_was_generated_and_what_was_revoked(bed: Bed, tmp_path: Path) -> None:
    """Passwords and the signing key stay; a token that was taken out does not come back, one put in stays."""
    namespace = await bed.namespace()
    await install(bed, "install", namespace, tmp_path, TRIAL)
    before = await secrets(bed, namespace)
    token = base64.b64encode(b"another-token-of-more-than-32-characters").decode()
    await bed.raw.patch("secrets", namespace, "finetuneflow-tokens", {"data": {"admin": None, "ci": token}})
    await install(bed, "upgrade", namespace, tmp_path, TRIAL, settings={"sweepSeconds": 9})
    after = await secrets(bed, namespace)

    assert set(before["finetuneflow-tokens"]) == {"admin"}
    assert after["finetuneflow-tokens"] == {"ci": token}
    assert after["finetuneflow-signing"] == before["finetuneflow-signing"]
    assert after["finetuneflow-stores"] == before["finetuneflow-stores"]
    await bed.helm("uninstall", "finetuneflow", "--namespace", namespace)


async def test_a_rollback_keeps_keys_and_brings_generated_tokens_back(bed: Bed, tmp_path: Path) -> None:
    """helm puts back what it once installed; the values of before are known to `--reset-then-reuse-values`."""
    namespace = await bed.namespace()
    await install(bed, "install", namespace, tmp_path, TRIAL, settings={"sweepSeconds": 9})
    before = await secrets(bed, namespace)
    token = base64.b64encode(b"another-token-of-more-than-32-characters").decode()
    await bed.raw.patch("secrets", namespace, "finetuneflow-tokens", {"data": {"admin": None, "ci": token}})
    await bed.helm("upgrade", "finetuneflow", str(CHART), "--namespace", namespace, "--reset-then-reuse-values")
    kept = json.loads(await bed.helm("get", "values", "finetuneflow", "--namespace", namespace, "--output", "json"))
    await bed.helm("rollback", "finetuneflow", "1", "--namespace", namespace)
    after = await secrets(bed, namespace)

    assert kept["settings"] == {"sweepSeconds": 9}
    assert after["finetuneflow-tokens"] == {"ci": token, **before["finetuneflow-tokens"]}
    assert after["finetuneflow-signing"] == before["finetuneflow-signing"]
    assert after["finetuneflow-stores"] == before["finetuneflow-stores"]
    await bed.helm("uninstall", "finetuneflow", "--namespace", namespace)


async def test_a_release_that_comes_back_opens_its_old_stores(bed: Bed, tmp_path: Path) -> None:
    """Their passwords outlive it, as their volumes do; everything else goes."""
    namespace = await bed.namespace()
    await install(bed, "install", namespace, tmp_path, TRIAL)
    before = await secrets(bed, namespace)
    await bed.helm("uninstall", "finetuneflow", "--namespace", namespace, "--wait")
    between = await secrets(bed, namespace)
    await install(bed, "install", namespace, tmp_path, TRIAL)
    after = await secrets(bed, namespace)

    assert set(between) == {"finetuneflow-stores"}
    assert after["finetuneflow-stores"] == before["finetuneflow-stores"]
    assert after["finetuneflow-tokens"] != before["finetuneflow-tokens"]
    await bed.helm("uninstall", "finetuneflow", "--namespace", namespace)


async def test_each_service_may_do_what_it_needs_and_no_more(bed: Bed, tmp_path: Path) -> None:
    """As the API server's own authorizer sees it."""
    namespace = await bed.namespace()
    await install(bed, "install", namespace, tmp_path, TRIAL)
    allowed = {
        ("training", "create", "jobs", "batch"),
        ("export", "patch", "jobs", "batch"),
        ("training", "get", "pods/log", ""),
        ("export", "create", "secrets", ""),
        ("training", "create", "services", ""),
        ("hardware", "watch", "nodes", ""),
        *((service, "create", "tokenreviews", "authentication.k8s.io") for service in SERVICES),
    }
    refused = {
        ("training", "update", "jobs", "batch"),
        ("training", "watch", "secrets", ""),
        ("training", "create", "pods", ""),
        ("training", "create", "pods/exec", ""),
        ("training", "list", "nodes", ""),
        ("hardware", "get", "secrets", ""),
        ("hardware", "create", "jobs", "batch"),
        ("hardware", "patch", "nodes", ""),
        ("ingest", "get", "secrets", ""),
        ("dataset", "list", "pods", ""),
        *(
            ("trainer", verb, what, "")
            for verb in ("get", "list", "create")
            for what in ("pods", "secrets", "configmaps")
        ),
        ("trainer", "create", "tokenreviews", "authentication.k8s.io"),
    }

    assert {right for right in allowed if not await may(bed, namespace, *right)} == set()
    assert {right for right in refused if await may(bed, namespace, *right)} == set()
    assert not await may(bed, namespace, "training", "create", "jobs", "batch", where="default")
    assert not await may(bed, namespace, "training", "get", "secrets", where="kube-system")
    await bed.helm("uninstall", "finetuneflow", "--namespace", namespace)
