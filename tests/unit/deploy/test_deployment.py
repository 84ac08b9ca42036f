"""The five Deployments: one template, the environment that the services read, the restricted Pod Security Standard."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from services.common.variables import OF_INGEST, VARIABLES, from_environment
from services.ingest.config import ingest_config
from tests.unit.deploy.chart import NAMESPACE, SERVICES, Json, Rendered, external, render

pytestmark = pytest.mark.cluster
FIELDS = {"metadata.name": "pod-1", "metadata.namespace": NAMESPACE, "status.podIP": "10.0.0.7"}


def container(rendered: Rendered, service: str) -> Json:
    """Return a service's one container."""
    (found,) = rendered.one("Deployment", service)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(rendered: Rendered, service: str) -> dict[str, str]:
    """Return the variables that a kubelet would give to a service."""
    secrets = {s["metadata"]["name"]: s["data"] for s in rendered.all("Secret")}
    found: dict[str, str] = {}
    for variable in container(rendered, service)["env"]:
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            text = FIELDS[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            text = base64.b64decode(secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]).decode()
        else:
            text = re.sub(r"\$\((\w+)\)", lambda match: found.get(match[1], match[0]), variable["value"])
        found[variable["name"]] = text
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_understands_its_environment(service: str) -> None:
    """What the chart sets is what the program reads, in the form that it wants."""
    config = from_environment(environment(render(), service))

    assert config.instance == "pod-1"
    assert config.listen == "10.0.0.7:9000"
    assert config.release == "finetuneflow"
    assert set(config.addresses) == set(SERVICES)
    assert config.addresses["training"] == f"dns:///finetuneflow-training.{NAMESPACE}.svc:9000"
    assert set(config.service_accounts.values()) == set(SERVICES)
    assert config.jobs == ("kubernetes" if service in ("training", "export") else "local")
    assert config.llm_allow == (() if service == "dataset" else None)


@pytest.mark.parametrize("service", SERVICES)
def test_no_variable_is_set_that_nothing_reads(service: str) -> None:
    """A variable with a misspelt name would silently do nothing."""
    known = {variable.name for variable in VARIABLES} | {f"FTF_{name.upper()}_ADDRESS" for name in SERVICES}
    known |= set(OF_INGEST) if service == "ingest" else set()
    rendered = external(llm={"existingSecret": "k", "allow": ["https://a/"]}, hub={"existingSecret": {"name": "h"}})

    assert {name for name in environment(rendered, service) if name.startswith("FTF_")} <= known


@pytest.mark.parametrize(
    ("values", "languages", "reads"),
    [({}, "", True), ({"languages": "eng+deu"}, "eng+deu", True), ({"enabled": False}, "", False)],
)
def test_scans_are_read_as_the_values_say(tmp_path: Path, values: Json, languages: str, reads: bool) -> None:
    """By default, if the image has tesseract; the ingest service understands what the chart sets."""
    (tmp_path / "tesseract").write_text("#!/bin/sh\n")
    (tmp_path / "tesseract").chmod(0o755)
    told = {**environment(render({"ocr": values}), "ingest"), "PATH": str(tmp_path)}
    found = ingest_config(from_environment(told), told, 2).ocr

    assert (found.languages, bool(found.program)) == (languages, reads)


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_that_the_environment_names_is_mounted(service: str) -> None:
    """A path in a variable lies below a mount."""
    rendered = external(llm={"existingSecret": "k"}, hub={"existingSecret": {"name": "h"}})
    mounts = [mount["mountPath"] for mount in container(rendered, service)["volumeMounts"]]
    paths = [
        text for name, text in environment(rendered, service).items() if name.startswith("FTF_") and text[:1] == "/"
    ]

    assert [path for path in paths if not any(path.startswith(mount) for mount in mounts)] == []


def test_every_pod_obeys_the_restricted_standard() -> None:
    """Nobody is root, no capability, no writable root file system, no token that is not needed."""
    for name, pod in render().pods():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["enableServiceLinks"] is False, name
        for one in pod["containers"]:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in one["resources"]["limits"], name


def test_only_pods_that_use_the_api_have_its_token() -> None:
    """Without TokenReview, three services have no business with the API server."""
    rendered = render({"auth": {"tokenReview": False}, "hardware": {"inventory": "local"}})
    mounted = {name for name, pod in rendered.pods() if pod["automountServiceAccountToken"]}

    assert mounted == {"finetuneflow-training", "finetuneflow-export"}


@pytest.mark.parametrize("service", SERVICES)
def test_probes_ask_for_life_and_for_readiness(service: str) -> None:
    """A store that is away takes a pod out of its Service and restarts nothing."""
    found = container(render(), service)

    assert found["livenessProbe"]["grpc"] == {"port": 9000}
    assert found["startupProbe"]["grpc"] == {"port": 9000}
    assert found["readinessProbe"]["grpc"] == {"port": 9000, "service": "readiness"}


def test_a_leaving_pod_serves_on_and_ends_in_time() -> None:
    """preStop, the program's own drain and a reserve fit into the grace period."""
    rendered = render({"drain": {"preStopSeconds": 10, "terminationGracePeriodSeconds": 60}})
    pod = rendered.one("Deployment", "training")["spec"]["template"]["spec"]

    assert pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 10
    assert float(environment(rendered, "training")["FTF_DRAIN_SECONDS"]) + 10 < pod["terminationGracePeriodSeconds"]


def test_a_changed_setting_of_jobs_restarts_those_that_read_it() -> None:
    """They read it when they start."""

    def checksum(rendered: Rendered, service: str) -> str:
        template = rendered.one("Deployment", service)["spec"]["template"]
        return str(template["metadata"]["annotations"].get("checksum/jobs", ""))

    before, after = render(), render({"jobs": {"backoffLimit": 9}})

    assert checksum(before, "training") != checksum(after, "training")
    assert checksum(before, "export") != checksum(after, "export")
    assert checksum(before, "ingest") == ""


def test_images_have_one_prefix_and_tag_or_names_of_their_own() -> None:
    """A mirror is one value; a single image can be replaced."""
    rendered = render(
        {"image": {"repository": "r.example.com/f", "tag": "9"}, "services": {"export": {"image": "x:1"}}}
    )

    assert container(rendered, "ingest")["image"] == "r.example.com/f/ingest:9"
    assert container(rendered, "export")["image"] == "x:1"


def test_ipv6_addresses_are_bracketed() -> None:
    """An address of colons needs them before a port."""
    assert environment(render({"ipv6": True}), "ingest")["FTF_LISTEN"] == "[10.0.0.7]:9000"
