"""deploy/compose.yaml: the same programs and settings as in a cluster, checked for what needs no Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from services.common.variables import OF_INGEST, VARIABLES, from_environment
from services.ingest.config import ingest_config
from tests.unit.deploy.contract import EXPECTED

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = ("ingest", "dataset", "hardware", "training", "export")


def filled(text: str) -> str:
    """Put an example's value where compose puts one of the environment."""
    return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda match: match[2] if ":-" in match[0] else "nExample1", text)


def environment(service: str) -> dict[str, str]:
    """Return a service's variables."""
    return {name: filled(str(value)) for name, value in COMPOSE["services"][service]["environment"].items()}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_understands_its_environment(service: str) -> None:
    """In the form that the program wants."""
    config = from_environment(environment(service))

    assert set(config.addresses) == set(SERVICES)
    assert config.instance == service
    assert config.jobs == "local"
    assert config.documents.startswith("mongodb://finetuneflow:nExample1@mongodb:27017/")


@pytest.mark.parametrize("service", SERVICES)
def test_no_variable_is_set_that_nothing_reads(service: str) -> None:
    """Nor one that a service needs forgotten."""
    known = {variable.name for variable in VARIABLES} | {f"FTF_{name.upper()}_ADDRESS" for name in SERVICES}
    known |= set(OF_INGEST) if service == "ingest" else set()

    assert {name for name in environment(service) if name.startswith("FTF_")} <= known


def test_scans_are_read_in_the_languages_of_the_image() -> None:
    """One setting says what is installed and what is read."""
    ingest = COMPOSE["services"]["ingest"]
    told = environment("ingest")

    assert filled(ingest["build"]["args"]["OCR_LANGUAGES"]) == told["FTF_OCR_LANGUAGES"] == "eng"
    assert ingest_config(from_environment(told), told, 2).ocr.languages == "eng"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_shut_in(service: str) -> None:
    """As in a cluster: no capability, no writable root file system."""
    found = COMPOSE["services"][service]

    assert found["cap_drop"] == ["ALL"]
    assert found["read_only"] is True
    assert found["security_opt"] == ["no-new-privileges:true"]


def test_only_the_proxy_can_be_reached_and_only_from_this_machine() -> None:
    """Stores have no port outside."""
    ports = {name: one["ports"] for name, one in COMPOSE["services"].items() if "ports" in one}

    assert ports == {"proxy": ["127.0.0.1:${PORT:-9000}:9000"]}


def test_trainers_have_torch_where_they_are_started() -> None:
    """They are processes of the service that starts them; hardware sees the same devices."""
    images = {name: COMPOSE["services"][name]["image"].partition(":")[0] for name in SERVICES}

    assert images == {
        "ingest": "finetuneflow/ingest",
        "dataset": "finetuneflow/dataset",
        "hardware": "finetuneflow/trainer",
        "training": "finetuneflow/trainer",
        "export": "finetuneflow/trainer",
    }
    for name in ("hardware", "training", "export"):
        assert COMPOSE["services"][name]["entrypoint"] == ["python", "-m", f"services.{name}"]


def test_every_volume_config_and_secret_is_declared_and_used() -> None:
    """Nothing is named that is not there."""
    services = COMPOSE["services"].values()
    volumes = {v.partition(":")[0] for one in services for v in one.get("volumes", []) if v[0].isalpha()}
    configs = {c["source"] for one in services for c in one.get("configs", [])}
    secrets = {s for one in services for s in one.get("secrets", [])}

    assert volumes == set(COMPOSE["volumes"])
    assert configs == set(COMPOSE["configs"])
    assert secrets == set(COMPOSE["secrets"])
    assert all((DEPLOY / one["file"]).exists() for one in COMPOSE["configs"].values())


def test_the_example_settings_name_every_variable() -> None:
    """A user fills in deploy/.env from one list."""
    wanted = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    named = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))

    assert wanted == named


def test_stores_are_those_of_the_chart() -> None:
    """One version of each to know."""
    values = yaml.safe_load((DEPLOY / "chart" / "values.yaml").read_text(encoding="utf-8"))["bundled"]

    for name in ("mongodb", "minio", "nats", "proxy"):
        assert COMPOSE["services"][name]["image"] == values[name]["image"]


def test_the_proxy_leads_every_call_to_its_service() -> None:
    """As in the cluster."""
    config = yaml.safe_load((DEPLOY / "envoy.yaml").read_text(encoding="utf-8"))["static_resources"]
    manager = config["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    hosts = {
        cluster["name"]: endpoint["endpoint"]["address"]["socket_address"]["address"]
        for cluster in config["clusters"]
        for endpoint in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    }

    assert {one["match"]["prefix"].strip("/"): one["route"]["cluster"] for one in routes} == EXPECTED
    assert hosts == {name: name for name in SERVICES}
