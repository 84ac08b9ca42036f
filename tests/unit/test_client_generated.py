"""What of the client is generated is what the generator makes now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "python"


def generator() -> ModuleType:
    """Return clients/python/generate.py, which is part of no package."""
    spec = importlib.util.spec_from_file_location("client_generate", CLIENT / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_committed_is_what_is_generated() -> None:
    """After a change of the contract or of a resource: python clients/python/generate.py"""
    made = generator().modules()
    stale = [name for name, text in made.items() if (CLIENT / "finetuneflow_client" / name).read_text() != text]

    assert stale == []
