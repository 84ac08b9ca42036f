"""Renders the chart, as `helm template` does, and finds objects in what comes out."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from tests.cluster import binaries

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "chart"
TRIAL = CHART / "examples" / "trial.yaml"
PRODUCTION = CHART / "examples" / "production.yaml"
SERVICES = ("ingest", "dataset", "hardware", "training", "export")
RELEASE, NAMESPACE = "finetuneflow", "flow"
PODS = ("Deployment", "StatefulSet")
# Stores given by values, which a trial may do; recognizable wherever they come out.
HIDDEN = "must-not-be-seen"
EXTERNAL: Json = {
    "documents": {"url": f"mongodb://u:{HIDDEN}@db.example.com/"},
    "objects": {"url": "s3://s3.example.com/flow?region=us-east-1", "accessKey": HIDDEN, "secretKey": HIDDEN},
    "nats": {"url": f"nats://u:{HIDDEN}@nats.example.com:4222"},
    "networkPolicy": {
        "objectStorage": [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 443}]}],
        "databases": [{"to": [{"ipBlock": {"cidr": "10.1.2.4/32"}}]}],
    },
}


@dataclass(frozen=True)
class Rendered:
    """What one rendering made."""

    objects: tuple[Json, ...]
    text: str

    def all(self, *kinds: str) -> Iterator[Json]:
        """Yield the objects of some kinds."""
        return (one for one in self.objects if one["kind"] in kinds)

    def one(self, kind: str, name: str) -> Json:
        """Return an object by its name without the release's, as in "training"; "" for the release's own."""
        full = f"{RELEASE}-{name}" if name else RELEASE
        found = [one for one in self.all(kind) if one["metadata"]["name"] in (full, f"{NAMESPACE}-{full}")]
        assert len(found) == 1, f"{len(found)} of {kind} {full}"
        return found[0]

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind."""
        return {one["metadata"]["name"] for one in self.all(kind)}

    def pods(self) -> Iterator[tuple[str, Json]]:
        """Yield the name and the pod's spec of everything that makes pods."""
        for one in self.all(*PODS):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def helm(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run helm."""
    program = binaries.path("helm")
    if not program.exists():
        pytest.fail("the chart is rendered by helm, which `make test-cluster` builds", pytrace=False)
    return subprocess.run([program, *words], input=given, capture_output=True, text=True, timeout=60, check=False)


def try_render(values: Mapping[str, Any] | None = None, *files: Path) -> subprocess.CompletedProcess[str]:
    """Render with values on top of files; the result says whether it worked."""
    more = [word for file in files for word in ("--values", str(file))]
    return helm(
        "template",
        RELEASE,
        str(CHART),
        "--namespace",
        NAMESPACE,
        *more,
        "--values",
        "-",
        given=json.dumps(values or {}),
    )


def render(values: Mapping[str, Any] | None = None, *files: Path, fresh: bool = False) -> Rendered:
    """Render with values on top of files (the trial's if none is named); fails the test if that does not work.

    The same values give the same rendering again, unless a fresh one is asked for; nobody changes it.
    """
    key = (json.dumps(values or {}), files or (TRIAL,))
    return _render.__wrapped__(*key) if fresh else _render(*key)


@functools.lru_cache(maxsize=64)
def _render(values: str, files: tuple[Path, ...]) -> Rendered:
    done = try_render(json.loads(values), *files)
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^---$", done.stdout, flags=re.MULTILINE)
    documents = (yaml.load(part, yaml.CSafeLoader) for part in parts)
    return Rendered(tuple(found for found in documents if found), done.stdout)


def external(**values: Any) -> Rendered:
    """Render with stores that are given by address, and further values."""
    return render({**EXTERNAL, **values}, CHART / "values.yaml")
