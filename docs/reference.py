"""Write the pages made of the contract's comments and of the code: python docs/reference.py DESCRIPTORS OUT

DESCRIPTORS is what `buf build --as-file-descriptor-set` writes, comments included. OUT gets a page for each service,
one for the messages of each package, one of all error reasons with their remedies, and those of PAGES.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf import descriptor_pb2

Place = tuple[int, ...]
Comments = Mapping[Place, str]

_PACKAGE = "finetuneflow."
_FILE, _MESSAGES, _ENUMS, _SERVICES = descriptor_pb2.FileDescriptorProto, 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _VALUES, _METHODS = 2, 3, 4, 2, 2
_TYPES = descriptor_pb2.FieldDescriptorProto.Type
_REASONS = "Reason"
PAGES = ("schema", "prompts", "defaults")
"""Modules beside this one; each returns its page, made of the code, from page()."""


def write(descriptors: Path, out: Path) -> list[Path]:
    """Write all pages into a folder, which is made, and return them in the order of a table of contents."""
    found = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    files = [file for file in found.file if file.package.startswith(_PACKAGE)]
    out.mkdir(parents=True, exist_ok=True)
    pages = {"errors": "".join(_errors(files))}
    for file in files:
        for number, service in enumerate(file.service):
            pages[service.name] = "".join(_service(file, number))
    for package in sorted({file.package for file in files}):
        pages[_anchor(package)] = "".join(_package(package, [file for file in files if file.package == package]))
    paths = []
    for name, text in pages.items():
        path = out / f"{name}.md"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _comments(file: descriptor_pb2.FileDescriptorProto) -> Comments:
    places = file.source_code_info.location
    return {tuple(one.path): _lines(one.leading_comments) for one in places if one.leading_comments}


def _lines(comment: str) -> str:
    return "\n".join(line.removeprefix(" ") for line in comment.strip().splitlines())


def _errors(files: list[descriptor_pb2.FileDescriptorProto]) -> Iterator[str]:
    """Yield the table of reasons, in the order of their names."""
    yield "# Error reasons\n\nEvery error of a call carries one of these in its `google.rpc.ErrorInfo`, and a message "
    yield "that ends with the remedy.\n\n| reason | what happened, and what to do |\n|---|---|\n"
    rows = {}
    for file in files:
        comments = _comments(file)
        for number, enum in enumerate(file.enum_type):
            if enum.name == _REASONS:
                for index, value in enumerate(enum.value):
                    rows[value.name.removeprefix("REASON_")] = comments.get((_ENUMS, number, _VALUES, index), "")
    yield from (f"| `{name}` | {_cell(text)} |\n" for name, text in sorted(rows.items()) if name != "UNSPECIFIED")


def _service(file: descriptor_pb2.FileDescriptorProto, number: int) -> Iterator[str]:
    """Yield the page of a service: each method with what goes in and comes out."""
    service, comments = file.service[number], _comments(file)
    yield f"# {service.name}\n\n`{file.package}.{service.name}`\n\n{comments.get((_SERVICES, number), '')}\n"
    for index, method in enumerate(service.method):
        asks = ("stream of " if method.client_streaming else "") + _linked(method.input_type)
        gives = ("stream of " if method.server_streaming else "") + _linked(method.output_type)
        yield f"\n## {method.name}\n\n{asks} → {gives}\n\n{comments.get((_SERVICES, number, _METHODS, index), '')}\n"


def _package(package: str, files: list[descriptor_pb2.FileDescriptorProto]) -> Iterator[str]:
    """Yield the page of a package's messages and enumerations."""
    yield f"# {package}\n"
    for file in files:
        comments = _comments(file)
        for number, message in enumerate(file.message_type):
            yield from _message(message, message.name, comments, (_MESSAGES, number))
        for number, enum in enumerate(file.enum_type):
            if enum.name != _REASONS:
                yield from _enumeration(enum, enum.name, comments, (_ENUMS, number))


def _message(message: descriptor_pb2.DescriptorProto, name: str, comments: Comments, place: Place) -> Iterator[str]:
    if message.options.map_entry:
        return
    yield f"\n## {name}\n\n{comments.get(place, '')}\n"
    if message.field:
        yield "\n| field | type | |\n|---|---|---|\n"
    for index, field in enumerate(message.field):
        text = comments.get((*place, _FIELDS, index), "")
        yield f"| `{field.name}` | {_type(field, message)} | {_cell(text)} |\n"
    for index, nested in enumerate(message.nested_type):
        yield from _message(nested, f"{name}.{nested.name}", comments, (*place, _NESTED, index))
    for index, enum in enumerate(message.enum_type):
        yield from _enumeration(enum, f"{name}.{enum.name}", comments, (*place, _NESTED_ENUMS, index))


def _enumeration(
    enum: descriptor_pb2.EnumDescriptorProto, name: str, comments: Comments, place: Place
) -> Iterator[str]:
    yield f"\n## {name}\n\n{comments.get(place, '')}\n\n| value | |\n|---|---|\n"
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` | {_cell(comments.get((*place, _VALUES, index), ''))} |\n"


def _type(field: descriptor_pb2.FieldDescriptorProto, message: descriptor_pb2.DescriptorProto) -> str:
    entry = next((one for one in message.nested_type if field.type_name.endswith(f".{one.name}")), None)
    if entry is not None and entry.options.map_entry:
        return f"map of {_scalar(entry.field[0])} to {_scalar(entry.field[1])}"
    repeated = field.label == descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    return ("repeated " if repeated else "") + _scalar(field)


def _scalar(field: descriptor_pb2.FieldDescriptorProto) -> str:
    if field.type_name:
        return _linked(field.type_name)
    return _TYPES.Name(field.type).removeprefix("TYPE_").lower()


def _linked(name: str) -> str:
    """Return a message's name, linked to its place among ours."""
    name = name.removeprefix(".")
    if not name.startswith(_PACKAGE):
        return f"`{name}`"
    package, _, rest = name.partition(".v1.")
    if rest == _REASONS:
        return f"[{rest}](errors.md)"
    return f"[{rest}]({_anchor(f'{package}.v1')}.md#{rest.lower().replace('.', '')})"


def _anchor(package: str) -> str:
    return package.removeprefix(_PACKAGE).removesuffix(".v1") + "-messages"


def _cell(text: str) -> str:
    """Return a comment as the cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
    for page in PAGES:
        Path(sys.argv[2], f"{page}.md").write_text(importlib.import_module(page).page(), encoding="utf-8")
