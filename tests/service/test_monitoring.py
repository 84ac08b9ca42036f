"""The board and the alerts of the chart ask for what services expose, and lead to what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.
from prometheus_client.parser import text_string_to_metric_families

from finetuneflow.training.v1 import training_service_pb2 as pb
from finetuneflow.training.v1 import training_service_pb2_grpc
from services.training.compose import compose
from tests.fakes.running import serving
from tests.service.test_metrics import free_port
from tests.unit.docs.pages import ROOT

CHART = ROOT / "deploy" / "chart" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((CHART / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS: list[dict[str, Any]] = json.loads((CHART / "dashboard.json").read_text(encoding="utf-8"))["panels"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"].replace("$__rate_interval", "5m") for panel in PANELS for target in panel["targets"]
]
# Made by Prometheus itself, of each scrape and of how it finds pods.
OF_PROMETHEUS = {"up": {"namespace", "pod"}}


def selectors(expression: str) -> dict[str, set[str]]:
    """Return the metrics that an expression asks for, each with the labels that it tells them by.

    Raises:
        ValueError: it is no PromQL.
    """
    found: dict[str, set[str]] = {}

    def visit(node: Any) -> None:
        selector = getattr(node, "vector_selector", node)
        if isinstance(selector, promql_parser.VectorSelector):
            labels = {matcher.name for matcher in selector.matchers.matchers}
            found.setdefault(selector.name, set()).update(labels - {"__name__"})

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


async def exposed(folder: Path) -> dict[str, set[str]]:
    """Return what a service exposes after a call: each metric with its labels, and those that Prometheus adds."""
    address = f"127.0.0.1:{free_port()}"
    async with serving(folder, {"training": compose}, metrics=address) as served, served.channel() as channel:
        await training_service_pb2_grpc.TrainingServiceStub(channel).ListRuns(pb.ListRunsRequest(parent="projects/p"))
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"http://{address}/metrics")).text
    found = dict(OF_PROMETHEUS)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {"namespace", "pod"}).update(sample.labels)
    return found


async def test_board_and_alerts_ask_for_metrics_that_exist(tmp_path: Path) -> None:
    """Each is PromQL; its metrics are exposed by a service that runs, with the labels that it tells them by."""
    there = await exposed(tmp_path)
    asked = [(name, labels) for expression in EXPRESSIONS for name, labels in selectors(expression).items()]
    missing = {name for name, labels in asked if not labels <= there.get(name, {"no such metric"} - labels)}

    assert missing == set()
    assert {"ftf_grpc_calls_total", "ftf_grpc_seconds_bucket", "process_open_fds"} <= {name for name, _ in asked}


def test_every_alert_says_how_bad_it_is_and_where_to_read_on() -> None:
    """Its link leads to a heading of the page about operations, which begins with what it means."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^### (.+)$", page, re.MULTILINE)}
    wrong = [
        rule["alert"]
        for rule in RULES
        if rule["labels"]["severity"] not in {"critical", "warning"}
        or not rule["annotations"]["summary"].endswith(".")
        or rule["annotations"]["runbook_url"].removeprefix("RUNBOOKS#") not in anchors
        or f"`{rule['alert']}`" not in page
    ]

    assert wrong == []


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    """In the file that promtool runs, with the words that people read then."""
    file = yaml.safe_load((CHART / "alerts.test.yaml").read_text(encoding="utf-8"))
    cases = [case for group in file["tests"] for case in group["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}

    assert fires == {rule["alert"] for rule in RULES}
    assert all(alert["exp_annotations"]["summary"] for case in cases for alert in case["exp_alerts"])


def test_what_is_no_promql_is_found() -> None:
    """The tests above look at something."""
    with pytest.raises(ValueError, match="unclosed"):
        selectors("sum by (")
