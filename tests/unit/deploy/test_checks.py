"""What helm itself says: the chart is clean, and wrong values are refused with what to do."""

from __future__ import annotations

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
