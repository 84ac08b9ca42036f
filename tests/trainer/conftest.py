"""What the trainer's tests share: folders, the tiny model and a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.tiny_model import tiny_model
from tests.trainer.runs import rows, write_dataset


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Folder of the granted objects."""
    return tmp_path / "objects"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model."""
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset file with all three sides of the split."""
    return write_dataset(tmp_path / "dataset.jsonl", rows())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings of the training libraries about themselves are theirs: only ours are errors here."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for kind in ("FutureWarning", "DeprecationWarning", "UserWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
