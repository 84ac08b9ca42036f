"""Rules of CONTRIBUTING.md that ruff, mypy and import-linter cannot check."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import schema

ROOT = Path(__file__).resolve().parents[2]
LONGEST_MODULE = 300
LONGEST_FUNCTION = 40
SOURCES = sorted(path for folder in ("services", "clients", "samples") for path in (ROOT / folder).rglob("*.py"))
CORE = [
    path for path in SOURCES if any(part.startswith("core") for part in path.relative_to(ROOT).with_suffix("").parts)
]
# What a rule may not touch: transports, drivers, the event loop, the network and other processes.
IMPURE = {"asyncio", "finetuneflow", "google", "grpc", "httpx", "nats", "socket", "sqlite3", "subprocess", "threading"}


def relative(path: Path) -> str:
    """Return the path as people write it."""
    return str(path.relative_to(ROOT))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method of a module."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body, without its signature and its docstring."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def imported(tree: ast.Module) -> set[str]:
    """Return the top-level packages that a module imports anywhere."""
    plain = (alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names)
    named = (node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {name.partition(".")[0] for name in (*plain, *named)}


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_and_functions_are_short(path: Path) -> None:
    """A module is read in one sitting, a function at one glance."""
    text = path.read_text(encoding="utf-8")
    long = [f"{f.name}: {body_lines(f)} lines" for f in functions(ast.parse(text)) if body_lines(f) > LONGEST_FUNCTION]

    assert text.count("\n") <= LONGEST_MODULE
    assert long == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_say_what_they_are_and_are_split_by_noun(path: Path) -> None:
    """Every module has a docstring, and none is a drawer for what fits nowhere."""
    text = path.read_text(encoding="utf-8")
    names = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]

    assert text.strip() == "" or ast.get_docstring(ast.parse(text))
    assert path.stem not in {"utils", "helpers", "types", "misc", "base", "manager"}
    assert not [name for name in names if name.startswith("Base") or name.endswith(("Base", "Manager"))]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_is_left_for_later(path: Path) -> None:
    """What is not done is not mentioned in the code."""
    text = path.read_text(encoding="utf-8")

    assert re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b|\bfor now\b", text) == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_silenced_check_says_why(path: Path) -> None:
    """A `type: ignore` or `noqa` names its rule and gives a reason on its line."""
    bare = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.search(r"#\s*(?:type:\s*ignore|noqa)(\[[\w, -]+\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?(.*)$", line)
        if found and (not found[1] or len(found[2].strip(" -#—")) < 6):
            bare.append(line.strip())

    assert bare == []


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_rules_are_pure(path: Path) -> None:
    """A core module decides and does nothing: no await, no transport, no driver."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    waits = [type(node).__name__ for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]

    assert waits == []
    assert imported(tree) & IMPURE == set()


def test_every_stored_field_is_described() -> None:
    """Who adds a field to a document, or a collection, says what it is in docs/schema.toml, of which a page is made."""
    schema.check(schema.described(), schema.declared())


def test_what_of_the_client_is_generated_is_what_would_be_generated_now() -> None:
    """After a change of settings in the contract, or of a resource: python clients/python/generate.py"""
    client = ROOT / "clients" / "python"
    spec = importlib.util.spec_from_file_location("client_generate", client / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    made: dict[str, str] = generate.modules()
    stale = [name for name, text in made.items() if (client / "finetuneflow_client" / name).read_text() != text]

    assert stale == []
