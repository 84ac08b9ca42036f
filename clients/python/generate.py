"""Writes what of the client follows from the contract: python clients/python/generate.py [OUT]

The settings of the contract as typed keyword arguments. OUT is a folder for them; without it they go where they belong,
into finetuneflow_client. What it wrote is committed, and a test makes it again.
"""

from __future__ import annotations

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
        frozenset({"parent", "dataset_id", "request_id", "dataset", "filename", "sha256", "size_bytes"}),
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


def formatted(text: str) -> str:
    """Return a module in the project's form."""
    command = ["ruff", "format", "--quiet", "--line-length", "120", "--stdin-filename", "generated.py", "-"]
    return subprocess.run(command, input=text, text=True, capture_output=True, check=True).stdout


def modules() -> dict[str, str]:
    """Return every generated module by its path below the package."""
    return {"resources/settings.py": formatted(settings())}


def main() -> None:
    """Write them."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE
    for name, text in modules().items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
