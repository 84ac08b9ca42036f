"""skaffold.yaml and deploy/kind: they name files, images and ports that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

ROOT = Path(__file__).resolve().parents[3]
KIND = ROOT / "deploy" / "kind"
SERVICES = ("ingest", "dataset", "hardware", "training", "export")


def load(path: Path) -> Any:
    """Return what a file of YAML says."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


SKAFFOLD = load(ROOT / "skaffold.yaml")
ARTIFACTS = SKAFFOLD["build"]["artifacts"]
(RELEASE,) = SKAFFOLD["deploy"]["helm"]["releases"]


def test_every_image_is_built_and_handed_to_the_chart() -> None:
    """Under the value that the chart reads it from."""
    images = {one["image"]: one["docker"] for one in ARTIFACTS}
    expected = {f"services.{name}.image": f"{{{{.IMAGE_FULLY_QUALIFIED_finetuneflow_{name}}}}}" for name in SERVICES}
    expected["jobs.image"] = "{{.IMAGE_FULLY_QUALIFIED_finetuneflow_trainer}}"

    assert set(images) == {f"finetuneflow/{name}" for name in (*SERVICES, "trainer")}
    assert RELEASE["setValueTemplates"] == expected
    assert all((ROOT / docker["dockerfile"]).exists() for docker in images.values())
    assert {docker.get("buildArgs", {}).get("SERVICE") for docker in images.values()} == {*SERVICES, None}


def test_the_release_names_files_that_exist() -> None:
    """Chart and values."""
    assert (ROOT / RELEASE["chartPath"] / "Chart.yaml").exists()
    assert all((ROOT / path).exists() for path in RELEASE["valuesFiles"])


def test_the_profile_patches_what_it_means_to() -> None:
    """Patches go by number: the sixth image is the trainer's."""
    (profile,) = SKAFFOLD["profiles"]
    build, *values = profile["patches"]

    assert profile["activation"] == [{"kubeContext": f"kind-{load(KIND / 'cluster.yaml')['name']}"}]
    assert build["path"] == "/build/artifacts/5/docker/buildArgs"
    assert ARTIFACTS[5]["image"] == "finetuneflow/trainer"
    assert set(build["value"]) == {"TORCH_INDEX_URL"}
    assert [patch["value"] for patch in values] == ["deploy/kind/values.yaml", ".cache/kind/llm.yaml"]


def test_clients_reach_the_proxy_of_the_kind_cluster() -> None:
    """The port on the node is the one that kind maps to this machine, on loopback."""
    (mapping,) = load(KIND / "cluster.yaml")["nodes"][0]["extraPortMappings"]
    proxy = load(KIND / "values.yaml")["bundled"]["proxy"]

    assert mapping["containerPort"] == proxy["nodePort"]
    assert (mapping["hostPort"], mapping["listenAddress"]) == (9000, "127.0.0.1")
    assert proxy["serviceType"] == "NodePort"


def test_the_models_claim_is_the_one_that_the_values_name() -> None:
    """It is bound to the folder that the workers mount."""
    volume, claim = yaml.safe_load_all((KIND / "models.yaml").read_text(encoding="utf-8"))
    mounts = [mount for node in load(KIND / "cluster.yaml")["nodes"] for mount in node.get("extraMounts", [])]

    assert load(KIND / "values.yaml")["models"]["existingClaim"] == claim["metadata"]["name"]
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["claimRef"]["namespace"] == claim["metadata"]["namespace"] == RELEASE["namespace"]
    assert {mount["containerPath"] for mount in mounts} == {volume["spec"]["hostPath"]["path"]}


@pytest.mark.parametrize("name", ["up", "demo", "down", "gpus"])
def test_a_script_parses_and_can_be_run(name: str) -> None:
    """It stops at the first failure, and names only files that exist."""
    script = KIND / name
    text = script.read_text(encoding="utf-8")

    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in text
    assert [path for path in re.findall(r"\b(?:deploy|samples)/[\w./-]+", text) if not (ROOT / path).exists()] == []
