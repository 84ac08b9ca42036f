"""The reference is made of the contract: every method, message and reason stands in it, links included."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from finetuneflow.common.v1 import reasons_pb2
from services.local import COMPOSES

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages' texts by name, made of the contract as it is now."""
    folder = tmp_path_factory.mktemp("reference")
    described = folder / "contract.binpb"
    command = [str(Path(sys.executable).with_name("buf")), "build", "--as-file-descriptor-set", "-o", str(described)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    return {path.stem: path.read_text(encoding="utf-8") for path in generator().write(described, folder / "out")}


def generator() -> ModuleType:
    """docs/reference.py, which is a program and no part of a package."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_service_and_method_has_its_words(pages: dict[str, str]) -> None:
    """As many methods as the contract has, none without a sentence."""
    protos = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "protos/finetuneflow").rglob("*.proto"))
    methods = set(re.findall(r"^  rpc (\w+)\(", protos, re.MULTILINE))
    found = {
        title: body
        for name, text in pages.items()
        if name.endswith("Service")
        for title, body in re.findall(r"^## (\w+)\n\n.*\n\n((?:.+\n)+)", text, re.MULTILINE)
    }

    assert set(found) == methods
    assert all(body.strip() for body in found.values())
    assert len(pages) >= len(COMPOSES) * 2


def test_every_link_leads_to_a_heading(pages: dict[str, str]) -> None:
    """Messages of other packages included."""
    anchors = {
        f"{name}.md#{re.sub(r'[^a-z0-9_]', '', title.lower())}"
        for name, text in pages.items()
        for title in re.findall(r"^## (\S+)$", text, re.MULTILINE)
    }
    links = {link for text in pages.values() for link in re.findall(r"\]\(([^)]+#[^)]+)\)", text)}

    assert links - anchors == set()
    assert len(links) > 100


def test_every_reason_stands_in_the_table(pages: dict[str, str]) -> None:
    """With what to do."""
    reasons = {name.removeprefix("REASON_") for name in reasons_pb2.Reason.DESCRIPTOR.values_by_name}
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", pages["errors"], re.MULTILINE))

    assert set(rows) == reasons - {"UNSPECIFIED"}
    assert all(len(text) > 20 for text in rows.values())
