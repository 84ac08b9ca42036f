"""What helm itself says: the chart is clean, and wrong values are refused with what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.deploy.chart import CHART, EXTERNAL, PRODUCTION, TRIAL, helm, try_render

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("file", [TRIAL, PRODUCTION], ids=lambda path: str(path.stem))
def test_the_chart_lints_without_a_warning(file: object) -> None:
    """Strictly."""
    done = helm("lint", "--strict", str(CHART), "--values", str(file))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


def test_the_chart_lints_without_values() -> None:
    """What is missing is said; no template breaks on it."""
    done = helm("lint", str(CHART))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No document store" in done.stdout + done.stderr


@pytest.mark.parametrize("rules", ["dns", "apiServer", "llm", "hub", "clients", "monitoring"])
def test_an_empty_list_of_rules_is_no_rule(rules: str) -> None:
    """Whoever empties one still gets policies."""
    values = {"networkPolicy": {rules: []}, "hub": {"allow": True}, "llm": {"allow": ["https://x/v1"]}}
    done = try_render(values, TRIAL)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"services": {"traning": {"replicas": 1}}}, "traning"),
        ({"jobs": {"backofLimit": 1}}, "backofLimit"),
        ({"jobs": {"runs": {"gpu": 1}}}, "gpu"),
        ({"llm": {"allow": ["ftp://x"]}}, "llm/allow"),
        ({"nats": {"replicas": 2}}, "nats/replicas"),
        ({"networkPolicy": {"objectStorage": [{"from": []}]}}, "objectStorage"),
        ({"services": {"ingest": {"resources": {"limits": {"memory": "1Mb"}}}}}, "ingest/resources/limits/memory"),
        ({"services": {"ingest": {"affinity": {"nodeAfinity": {}}}}}, "nodeAfinity"),
        ({"jobs": {"runs": {"memory": ""}}}, "jobs/runs/memory"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_a_misspelt_or_wrong_value_is_refused(values: dict[str, Any], said: str) -> None:
    """It would otherwise silently do nothing."""
    done = try_render(values, TRIAL)

    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("missing", ["documents", "objects", "nats"])
def test_a_missing_store_is_said_with_its_remedy(missing: str) -> None:
    """Before anything is installed."""
    done = try_render({key: value for key, value in EXTERNAL.items() if key != missing})

    assert done.returncode != 0
    assert f"{missing}." in done.stderr
    assert "bundled." in done.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"services": {"ingest": {"autoscaling": {"enabled": True, "minReplicas": 9}}}},
            "services.ingest.autoscaling.minReplicas=9 is more than maxReplicas=6. Lower it",
        ),
        (
            {"drain": {"preStopSeconds": 40}},
            "after drain.terminationGracePeriodSeconds=30. Let that be longer",
        ),
        (
            {"models": {"create": True, "existingClaim": "foo"}},
            "Both models.create and models.existingClaim are set. Set models.create=false",
        ),
        (
            {"jobs": {"priorities": [{"atLeast": 10}, {"atLeast": 0}, {"atLeast": 10}]}},
            "jobs.priorities has two entries with atLeast: 10. Keep one",
        ),
        (
            {"services": {"dataset": {"env": {"FTF_SWEEP_SECONDS": "2"}}}},
            "services.dataset.env has FTF_SWEEP_SECONDS, which the chart sets. Take it out, and set the value "
            "settings.sweepSeconds",
        ),
        (
            {"services": {"dataset": {"env": {"POD_IP": "127.0.0.1"}}}},
            "services.dataset.env has POD_IP, which the chart sets itself. Take it out",
        ),
        (
            {"ipv6": True, "services": {"ingest": {"env": {"FTF_LISTEN": "[::]:9000"}}}},
            "services.ingest.env has FTF_LISTEN, which the chart sets itself. Take it out",
        ),
        (
            {"services": {"dataset": {"env": {"FTF_LLM_ALLOW": "https://x/v1"}}}},
            "services.dataset.env has FTF_LLM_ALLOW, which the chart sets. Take it out, and set the value llm.allow",
        ),
    ],
    ids=lambda given: str(given)[:60],
)
def test_values_that_contradict_each_other_are_refused_with_the_remedy(values: dict[str, Any], said: str) -> None:
    """The API server would refuse what comes of them, or one of them would silently do nothing."""
    done = try_render(values, TRIAL)

    assert done.returncode != 0
    assert said in done.stderr


def test_what_the_chart_sets_for_another_service_may_stay_in_the_environment_of_one() -> None:
    """It does nothing there, and a release that has it can be upgraded."""
    env = {"FTF_HUB_TOKEN_FILE": "/tmp/none", "FTF_LLM_ALLOW": "https://x/v1", "FTF_INVENTORY": "off"}
    done = try_render({"hub": {"existingSecret": {"name": "hub"}}, "services": {"ingest": {"env": env}}}, TRIAL)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("store", "secret", "said"),
    [
        ("documents", {"name": "a"}, "Both documents.url and documents.existingSecret.name are set."),
        ("objects", {"name": "a"}, "Both objects.existingSecret.name and objects.accessKey"),
        ("nats", {"name": "a"}, "Both nats.url and nats.existingSecret.name are set."),
    ],
)
def test_a_store_that_is_given_twice_is_refused(store: str, secret: dict[str, str], said: str) -> None:
    """By its address or keys, and by a Secret, which would win."""
    done = try_render({**EXTERNAL, store: {**EXTERNAL[store], "existingSecret": secret}})

    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize(
    "left_out", [{"services": {"dataset": {"env": None}}}, {"jobs": {"runs": {"cpu": None}}}], ids=str
)
def test_a_default_that_is_taken_away_is_none(left_out: dict[str, Any]) -> None:
    """As helm does with null."""
    done = try_render(left_out, TRIAL)

    assert done.returncode == 0, done.stderr
    assert "nil" not in done.stdout


def test_the_most_that_fits_is_taken() -> None:
    """As many pods at least as at most, and five seconds beside those of preStop."""
    values = {
        "services": {"ingest": {"autoscaling": {"enabled": True, "minReplicas": 6}, "env": {"FTF_AWQ": "1"}}},
        "drain": {"preStopSeconds": 25},
    }
    done = try_render(values, TRIAL)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("allow", "rules", "closed"),
    [
        (["https://a/v1", "http://b:11434/v1"], [{"ports": [{"port": 443}]}], "http://b:11434/v1"),
        (["https://a/v1", "http://b/v1"], [{"ports": [{"port": 443}]}], "http://b/v1"),
        (["http://a:8000/v1"], [{"ports": [{"port": 7999, "endPort": 8080}]}], ""),
        (["http://a:11434/v1"], [{"to": [{"namespaceSelector": {}}]}], ""),
        (["https://a/v1"], [], "https://a/v1"),
    ],
    ids=str,
)
def test_an_llm_to_whose_port_no_way_is_open_is_named_in_the_notes(
    allow: list[str], rules: list[dict[str, Any]], closed: str
) -> None:
    """Calls to it would end in a timeout, and nothing would say why."""
    values = {"llm": {"allow": allow}, "networkPolicy": {"llm": rules}}
    done = helm(
        *("install", "finetuneflow", str(CHART), "--dry-run=client", "--values", str(TRIAL), "--values", "-"),
        given=json.dumps(values),
    )
    notes = done.stdout[done.stdout.index("NOTES:") :]

    assert ("networkPolicy.llm opens no port for" in notes) is bool(closed)
    assert f"no port for {closed} of llm.allow" in notes or not closed
