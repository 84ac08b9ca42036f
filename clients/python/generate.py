"""Writes what of the client follows from the contract: python clients/python/generate.py [OUT]

The settings of the contract as typed keyword arguments, and of each module of resources its blocking counterpart in
sync. OUT is a folder for them; without it they go where they belong, into finetuneflow_client. What it wrote is
committed, and a test makes it again.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from finetuneflow.dataset.v1 import dataset_pb2, transfer_pb2
from finetuneflow.ingest.v1 import file_pb2
from finetuneflow.training.v1 import config_pb2, resources_pb2
from finetuneflow_client.enums import words

PACKAGE = Path(__file__).resolve().parent / "finetuneflow_client"
# Class → its messages, and their fields that are arguments of their own or that only a server sets.
SETTINGS: dict[str, tuple[list[Any], frozenset[str]]] = {
    "ChunkSettings": ([file_pb2.ChunkSettings], frozenset()),
    "JudgeSettings": ([dataset_pb2.Judge], frozenset()),
    "SemanticDuplicatesSettings": ([dataset_pb2.SemanticDuplicates], frozenset()),
    "GenerationSettings": ([dataset_pb2.DatasetSpec], frozenset({"files", "llm_endpoint", "template"})),
    "ImportSettings": (
        [transfer_pb2.ImportHeader],
        frozenset({"parent", "dataset_id", "request_id", "dataset", "filename", "sha256", "size_bytes", "offset"}),
    ),
    "ResourceSettings": ([resources_pb2.Resources], frozenset()),
    "LoraConfigSettings": ([config_pb2.LoraConfig], frozenset()),
    "TrainingSettings": ([config_pb2.TrainingConfig], frozenset()),
}
# What an import's dataset may say of itself.
SPEC_OF_IMPORT = ("system_prompt", "eval_fraction", "recall_fraction")
SCALARS = {
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_STRING: "str",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
}
BY = "clients/python/generate.py"
# Modules of resources that hold nothing to wait for.
PLAIN = ("arrivals", "html", "metric", "settings")
SYNC = '''"""The resources, blocking: for programs and notebooks without async. Made by clients/python/generate.py.

    from finetuneflow_client.sync import FineTuneFlow

    with FineTuneFlow.connect() as ftf:
        for project in ftf.projects.list():
            print(project.name)
"""

from __future__ import annotations
'''
HEAD = '''"""Settings by the contract's names, as keyword arguments. Made by clients/python/generate.py; do not edit.

What each means, its range and its default stand in the contract, and so in the reference of the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

'''


def settings() -> str:
    """Return the module of settings."""
    parts = [HEAD]
    for name, (messages, left_out) in SETTINGS.items():
        fields = [field for message in messages for field in message.DESCRIPTOR.fields if field.name not in left_out]
        if name == "ImportSettings":
            fields += [dataset_pb2.DatasetSpec.DESCRIPTOR.fields_by_name[field] for field in SPEC_OF_IMPORT]
        lines = [f"    {field.name}: {annotation(field)}" for field in fields]
        doc = f'    """Fields of {messages[0].DESCRIPTOR.full_name}."""'
        parts.append("\n".join([f"\nclass {name}(TypedDict, total=False):", doc, "", *lines, ""]))
    return "\n".join(parts)


def annotation(field: Any) -> str:
    """Return the type of a field's value, as filling.filled takes it."""
    message = field.message_type
    if message and message.GetOptions().map_entry:
        return f"Mapping[str, {annotation(message.fields_by_name['value'])}]"
    if message:
        return next(n for n, (found, _) in SETTINGS.items() if found[0].DESCRIPTOR is message)
    one = literal(field) if field.enum_type else SCALARS.get(field.cpp_type, "int")
    return f"Sequence[{one}]" if field.is_repeated else one


def literal(field: Any) -> str:
    """Return the words of an enum as a type."""

    class Owner:
        DESCRIPTOR = field.containing_type

    return f"Literal[{', '.join(repr(word) for word in words(Owner, field.name))}]"


class Mirror:
    """A module of resources as a blocking one: each class leaves everything to the asynchronous one.

    Args:
        name: of the module.
        tree: its source.
        mirrored: every class that has a blocking counterpart.
    """

    def __init__(self, name: str, tree: ast.Module, mirrored: frozenset[str]) -> None:
        self._name = name
        self._tree = tree
        self._mirrored = mirrored

    def text(self) -> str:
        """Return the blocking module."""
        doc = (ast.get_docstring(self._tree) or "").rstrip(".")
        parts = [
            f'"""{doc}; blocking.\n\nMade of resources/{self._name}.py by {BY}; do not edit.\n"""',
            "from __future__ import annotations",
            "from collections.abc import Iterator",
            "from contextlib import contextmanager",
            "from finetuneflow_client import resources",
            "from finetuneflow_client.blocking import Front, entered, iterate, run",
            *(self._import(node) for node in self._tree.body if isinstance(node, ast.ImportFrom)),
            *(self._class(node) for node in self._tree.body if isinstance(node, ast.ClassDef)),
        ]
        return "\n".join(parts)

    def _import(self, node: ast.ImportFrom) -> str:
        outer, _, module = (node.module or "").rpartition(".")
        if outer == f"{PACKAGE.name}.resources" and module not in PLAIN:
            return f"from {PACKAGE.name}.sync.{module} import {', '.join(alias.name for alias in node.names)}"
        return ast.unparse(node)

    def _class(self, node: ast.ClassDef) -> str:
        base = next((b.id for b in node.bases if isinstance(b, ast.Name) and b.id in self._mirrored), "Front")
        module = f"resources.{self._name}"
        lines = [f"class {node.name}({base}):", quoted(node, self._kept_back(node)), f"    of: {module}.{node.name}\n"]
        for member in node.body:
            if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                if not member.target.id.startswith("_"):
                    doc = "What the server told: the contract's message, with every field."
                    lines.append(
                        self._property(member.target.id, ast.unparse(member.annotation), f'        """{doc}"""')
                    )
            elif isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                lines += self._member(member)
        return "\n".join(lines)

    def _member(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
        """Return a method or property; of a constructor, what it makes for users."""
        if node.name == "__init__":
            return [
                self._property(name, kind, f'        """The server\'s {name}."""')
                for name, kind in map(made, node.body)
                if kind in self._mirrored
            ]
        if node.name.startswith("_") and node.name != "_repr_html_":
            return []
        kinds = [ast.unparse(decorator) for decorator in node.decorator_list]
        if "property" in kinds:
            return [self._property(node.name, ast.unparse(node.returns), quoted(node))]  # type: ignore[arg-type]  # mypy holds it
        returns = ast.unparse(node.returns).replace("AsyncIterator", "Iterator")  # type: ignore[arg-type]  # mypy holds it
        head = f"    def {node.name}({ast.unparse(node.args)}) -> {returns}:"
        call = f"{node.name}({self._arguments(node.args)})"
        if "asynccontextmanager" in kinds:
            opened = f"        with entered(resources.FineTuneFlow.{call}) as of:\n            yield cls(of)"
            return ["    @classmethod\n    @contextmanager", head, quoted(node), opened]
        awaited = isinstance(node, ast.AsyncFunctionDef) and not returns.startswith("Iterator")
        return [head, quoted(node), f"        return {self._result(f'self.of.{call}', returns, awaited)}\n"]

    def _kept_back(self, node: ast.ClassDef) -> frozenset[str]:
        """Return the attributes that a constructor sets and a blocking object does not have."""
        constructors = [m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"]
        targets = [
            target.attr
            for constructor in constructors
            for statement in constructor.body
            if isinstance(statement, ast.Assign) and made(statement)[1] not in self._mirrored
            for target in statement.targets
            if isinstance(target, ast.Attribute)
        ]
        return frozenset(targets)

    def _property(self, name: str, kind: str, doc: str) -> str:
        value = self._result(f"self.of.{name}", kind, False)
        return f"    @property\n    def {name}(self) -> {kind}:\n{doc}\n        return {value}\n"

    def _result(self, call: str, kind: str, awaited: bool) -> str:
        """Return an expression for what a call gives, with blocking objects for asynchronous ones."""
        outer, _, inner = kind.rstrip("]").partition("[")
        value = f"run({call})" if awaited else call
        if outer == "Iterator":
            return f"map({inner}, iterate({value}))" if inner in self._mirrored else f"iterate({value})"
        if outer == "list" and inner in self._mirrored:
            return f"[{inner}(one) for one in {value}]"
        return f"{kind}({value})" if kind in self._mirrored else value

    def _arguments(self, args: ast.arguments) -> str:
        """Return what is handed on, with asynchronous objects for blocking ones."""
        parts = [self._handed(arg) for arg in args.args[1:]]
        parts += [f"*{args.vararg.arg}"] if args.vararg else []
        parts += [f"{arg.arg}={self._handed(arg)}" for arg in args.kwonlyargs]
        parts += [f"**{args.kwarg.arg}"] if args.kwarg else []
        return ", ".join(parts)

    def _handed(self, arg: ast.arg) -> str:
        kind = ast.unparse(arg.annotation) if arg.annotation else ""
        found = re.search(r"(\w+) \| str", kind)
        if found is None or found[1] not in self._mirrored:
            return arg.arg
        one = f"{{0}}.of if isinstance({{0}}, {found[1]}) else {{0}}"
        if kind.startswith("Sequence["):
            return f"[{one.format('one')} for one in {arg.arg}]"
        return one.format(arg.arg)


def made(statement: ast.stmt) -> tuple[str, str]:
    """Return name and class of a constructor's `self.name = Class(…)`; empty for other statements."""
    found = re.fullmatch(r"self\.(\w+) = (\w+)\(.*\)", ast.unparse(statement))
    return (found[1], found[2]) if found else ("", "")


def quoted(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, left_out: frozenset[str] = frozenset()) -> str:
    """Return a docstring as in the source; of a class without the constructor's arguments and some attributes."""
    depth = 8 if not isinstance(node, ast.ClassDef) else 4
    whole = ast.get_docstring(node, clean=True) or ""
    if isinstance(node, ast.ClassDef):
        whole = re.sub(r"\n\nArgs:(\n .*)+", "", whole)
    lines = [line for line in whole.splitlines() if line.strip().partition(":")[0] not in left_out]
    shown = "\n".join(" " * depth + line if line else "" for line in [f'"""{lines[0]}', *lines[1:]])
    return f'{shown}\n{" " * depth}"""' if lines[1:] else f'{shown}"""'


def mirrors() -> dict[str, str]:
    """Return the blocking modules by their paths below the package."""
    sources = {path.stem: ast.parse(path.read_text()) for path in sorted((PACKAGE / "resources").glob("*.py"))}
    trees = {name: tree for name, tree in sources.items() if name not in (*PLAIN, "__init__")}
    classes = {node.name: name for name, tree in trees.items() for node in tree.body if isinstance(node, ast.ClassDef)}
    mirrored = frozenset(classes)
    found = {f"sync/{name}.py": formatted(Mirror(name, tree, mirrored).text()) for name, tree in trees.items()}
    public = [
        alias.name
        for node in sources["__init__"].body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in classes or alias.name == "Metric"
    ]
    lines = [SYNC, *(f"from {PACKAGE.name}.sync.{classes[name]} import {name}" for name in public if name in classes)]
    lines += [f"from {PACKAGE.name}.resources.metric import Metric", f"__all__ = {sorted(public)!r}"]
    return {"sync/__init__.py": formatted("\n".join(lines)), **found}


def formatted(text: str) -> str:
    """Return a module in the project's form."""
    for command in (["check", "--fix", "--exit-zero", "--select", "F401,I,RUF022"], ["format"]):
        whole = [
            sys.executable,
            "-m",
            "ruff",
            *command,
            "--quiet",
            "--stdin-filename",
            str(PACKAGE / "generated.py"),
            "-",
        ]
        text = subprocess.run(whole, input=text, text=True, capture_output=True, check=True).stdout
    return text


def modules() -> dict[str, str]:
    """Return every generated module by its path below the package."""
    return {"resources/settings.py": formatted(settings()), **mirrors()}


def main() -> None:
    """Write them."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE
    for name, text in modules().items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
