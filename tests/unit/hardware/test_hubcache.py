"""What a run has yet to fetch of a hub's model, and where that lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from services.common.kube.capacity import NodeCapacity
from services.hardware.core_cluster import Rules
from services.hardware.core_model import File
from services.hardware.grounds import Nodes
from services.hardware.hubcache import HubCache, weights
from tests.fakes.hub import COMMIT

PARTS = [File(f"model-0000{n}-of-00002.safetensors", 100 * n, "") for n in (1, 2)]
FILES = [*PARTS, File("consolidated.safetensors", 300, ""), File("config.json", 7, "")]


def kept(cache: Path, *names: str) -> None:
    """Put files into a cache as the library keeps them."""
    folder = cache / "models--acme--m"
    (folder / "refs").mkdir(parents=True)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in names:
        (snapshot / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (FILES, [file.filename for file in PARTS]),
        ([*FILES, File("model.safetensors", 300, "")], ["model.safetensors"]),
    ],
)
def test_weights_are_fetched_in_one_form(files: Sequence[File], names: list[str]) -> None:
    """Some models are stored twice."""
    assert [file.filename for file in weights(files)] == names


def test_what_is_in_the_cache_is_not_fetched(tmp_path: Path) -> None:
    """Each part for itself; a cache that does not exist yet has nothing."""
    cache = HubCache(tmp_path / "cache" / "hub", tmp_path / "runs")
    before = cache.missing("acme/m", COMMIT, FILES)
    kept(tmp_path / "cache" / "hub", PARTS[0].filename)
    after = cache.missing("acme/m", COMMIT, FILES)
    other = cache.missing("acme/m", "f" * 40, FILES)

    assert (before, after, other) == (300, 200, 300)


def test_a_cache_on_another_disk_takes_nothing_of_the_runs(tmp_path: Path) -> None:
    """Free space there is not what a run is judged by."""
    assert HubCache(Path("/proc"), tmp_path).missing("acme/m", COMMIT, FILES) == 0


@pytest.mark.parametrize(("rules", "expected"), [(Rules(), 300), (Rules(shared_cache=True), 0)])
async def test_a_pod_fetches_all_unless_there_is_a_shared_cache(rules: Rules, expected: int) -> None:
    """A pod's own cache is a part of its disk, and empty when it starts."""

    async def none() -> list[NodeCapacity]:
        return []

    found = await Nodes(none, rules).fetched("acme/m", COMMIT, FILES)

    assert found == expected
