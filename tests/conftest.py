"""What holds for every test: a run says what it left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

# Marker → why such tests are left out of a run, and how to run them.
LEFT_OUT = {
    "model": "they need the real 135M model, or minutes of training: make test-model",
    "cluster": "they need a Kubernetes control plane: make test-cluster",
    "packaging": "they install the wheels in fresh environments: make test-wheels",
}
pytest_plugins = ["tests.cluster.bed.fixtures", "tests.fakes.store_fixtures"]
COUNTS = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[COUNTS] = Counter()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count what a run leaves out, by marker."""
    for item in items:
        marker = next((name for name in LEFT_OUT if item.get_closest_marker(name)), "")
        item.config.stash[COUNTS][marker] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out before pytest's own last line."""
    for marker, count in sorted(config.stash[COUNTS].items()):
        why = LEFT_OUT.get(marker, "they were not selected")
        terminalreporter.write_line(f"Left out: {count} tests{f' marked {marker}' if marker else ''}, since {why}.")
