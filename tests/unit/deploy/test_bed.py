"""What `make` does before a shell or the tests in a control plane of their own."""

from __future__ import annotations

import subprocess

from tests.unit.deploy.chart import ROOT

BUILD = ROOT / "tests" / "cluster" / "build.py"


def commands(target: str) -> str:
    """Return what make would run."""
    return subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_clients_of_other_languages_are_made_for_the_tests_alone() -> None:
    """The shell needs no npm, and does not wait for it."""
    assert "stubs" not in commands("bed-shell") + BUILD.read_text(encoding="utf-8")
    assert "clients/stubs.py --missing" in commands("test-cluster")
