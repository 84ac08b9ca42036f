"""What the tests with the real model share: its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from samples import model

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "SmolLM2-135M-Instruct"


@pytest.fixture(scope="session")
def base() -> Path:
    """The base model's folder, made once."""
    model.make(FOLDER)
    return FOLDER
