"""What the weights that a run begins from have learned from."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.errors import NotFound
from services.training import start


class Runs:
    """Stands for the runs that are there."""

    def __init__(self, **runs: dict[str, Any]) -> None:
        self._runs = runs

    async def get(self, name: str) -> dict[str, Any]:
        """See Resources."""
        if name not in self._runs:
            raise NotFound(f"run {name} does not exist.")
        return self._runs[name]


FIRST = {"dataset_sha256": "v1", "start": None}
OLD = {"dataset_sha256": "v2", "start": {"run": "first"}}
"""Begun before it was kept what its weights had learned from."""


@pytest.mark.parametrize(
    ("source", "there", "learned"),
    [
        (FIRST, {}, ["v1"]),
        (OLD, {"first": FIRST}, ["v2", "v1"]),
        (OLD, {}, ["v2", ""]),
        ({"dataset_sha256": "v2", "start": {"run": "old"}}, {"old": OLD, "first": FIRST}, ["v2", "v1"]),
        ({"dataset_sha256": "v3", "start": {"run": "gone", "learned": ["v2", "v1"]}}, {}, ["v3", "v2", "v1"]),
    ],
)
async def test_versions_are_found_through_runs_that_did_not_keep_them(
    source: dict[str, Any], there: dict[str, Any], learned: list[str]
) -> None:
    """What nobody knows any more is said to be there."""
    runs: Any = Runs(**there)

    assert await start._learned(runs, source) == learned
