"""Troubleshooting quotes what the code says, and the security model names tests that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SYMPTOMS = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/security.md").read_text(encoding="utf-8")
QUOTES = re.findall(r"^> (.+)$", SYMPTOMS, re.MULTILINE)
# Words in capitals that are no reasons: states of work and variables.
OTHERS = {"PAUSED", "QUEUED", "UNIMPLEMENTED", "FTF_TOKEN", "FTF_SERVER", "GGUF", "JSON", "SSL_CERT_FILE", "NO_PROXY"}


@cache
def texts() -> frozenset[str]:
    """Every text of the services and the client, … for what is filled in."""
    files = [*(ROOT / "services").rglob("*.py"), *(ROOT / "clients/python").rglob("*.py")]
    return frozenset(text for file in files for text in said(ast.parse(file.read_text(encoding="utf-8"))))


def said(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of a module, without its docstrings."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        yield from said(node)


def test_every_message_that_is_quoted_is_the_codes() -> None:
    """Word for word, with … where something is filled in."""
    unknown = [quote for quote in QUOTES if quote not in texts()]

    assert unknown == []
    assert len(QUOTES) > 15


def test_every_reason_that_is_named_is_the_codes() -> None:
    """Of errors, of drops, of waiting."""
    protos = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "protos").rglob("*.proto"))
    prose = re.sub(r"^> .+$", "", SYMPTOMS, flags=re.MULTILINE)
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b", prose)) - OTHERS
    reasons = {name for name in named if len(name) > 3}

    assert {name for name in reasons if f"_{name} = " not in protos and name not in texts()} == set()
    assert len(reasons) > 20


def test_every_test_that_the_security_model_names_exists() -> None:
    """In the file that is named before it."""
    missing, found = [], 0
    for path, functions in re.findall(r"`(tests/[\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)", SECURITY):
        text = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else ""
        for function in re.findall(r"`(test_\w+)`", functions):
            found += 1
            if f"def {function}(" not in text:
                missing.append(f"{path}: {function}")

    assert missing == []
    assert found == len(re.findall(r"`test_\w+`", SECURITY)) > 40
