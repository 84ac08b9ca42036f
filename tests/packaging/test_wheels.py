"""Each wheel, installed alone into a fresh environment from dist/ and the package index, works."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest

DIST = Path(__file__).resolve().parents[2] / "dist"
SERVICES = ("ingest", "dataset", "hardware", "training", "export")

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]


def wheel(name: str) -> Path:
    """Return the one wheel of that name in dist/."""
    found = sorted(DIST.glob(f"{name}-*.whl"))
    assert len(found) == 1, f"dist/ has {len(found)} wheels of {name}; make wheels builds them"
    return found[0]


def environment(folder: Path, name: str) -> Path:
    """Make an environment with one wheel and its dependencies, and return its folder of programs."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    run(programs / "python", "-m", "pip", "install", "--quiet", "--find-links", DIST, wheel(name))
    return programs


def run(*command: str | Path, fails: bool = False) -> str:
    """Run a program outside the repository, where nothing but its environment can be imported; return its output."""
    done = subprocess.run([str(part) for part in command], cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with finetuneflow-client alone."""
    return environment(tmp_path_factory.mktemp("client"), "finetuneflow_client")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with finetuneflow alone."""
    return environment(tmp_path_factory.mktemp("services"), "finetuneflow")


def test_the_client_brings_the_command(client: Path) -> None:
    """`ftf --help` answers without any of the services."""
    out = run(client / "ftf", "--help")

    assert "usage: ftf" in out
    assert "train" in out


def test_the_client_brings_the_generated_code_and_nothing_of_the_services(client: Path) -> None:
    """A program can import the client and the contract; services, transformers and torch are not there."""
    run(client / "python", "-c", "import finetuneflow_client, finetuneflow.training.v1.training_service_pb2_grpc")
    absent = run(client / "python", "-c", "import services", fails=True)

    assert "ModuleNotFoundError" in absent


def test_ftf_up_without_the_services_says_what_to_install(client: Path) -> None:
    """The remedy is named, and there is no traceback."""
    out = run(client / "ftf", "up", fails=True)

    assert 'pip install --find-links dist "finetuneflow[local,trainer]"' in out
    assert "Traceback" not in out


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_a_program(services: Path, name: str) -> None:
    """`python -m services.<name> --help` answers in an environment without torch."""
    out = run(services / "python", "-m", f"services.{name}", "--help")

    assert "usage" in out


def test_the_services_install_without_torch(services: Path) -> None:
    """Only the extra `trainer` brings it."""
    packages = run(services / "python", "-m", "pip", "list")

    assert "torch" not in packages
    assert "finetuneflow-client" in packages
