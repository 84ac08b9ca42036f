"""Settings of a training in a file: YAML or JSON, by the names of the contract, and the JSON schema of it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # Comes without types.
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from finetuneflow.training.v1 import config_pb2
from finetuneflow_client.cli.grammar.settings import TRAINING
from finetuneflow_client.errors import FtfError, joined

_LINES = "write NAME: VALUE lines, in YAML or JSON"
_LIST = "write a run's settings behind each dash: - {learning_rate: 2e-4, lora: {r: 8}}"
_HELP = {setting.field: setting.help for setting in TRAINING}
_TYPES = {
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_INT32: "integer",
    FieldDescriptor.CPPTYPE_INT64: "integer",
    FieldDescriptor.CPPTYPE_BOOL: "boolean",
    FieldDescriptor.CPPTYPE_STRING: "string",
}


def read_config(path: str) -> config_pb2.TrainingConfig:
    """Return the settings of a file; what it does not name is unset.

    Raises:
        FtfError: INVALID_ARGUMENT if it cannot be read, names what is no setting, or a value is of another type.
    """
    content = _content(path, _LINES)
    if not isinstance(content, dict):
        raise _refused(f"{path} has no settings", _LINES)
    config = config_pb2.TrainingConfig()
    put_settings(config, _settings(content, path, ""))
    return config


def read_runs(path: str) -> list[dict[str, Any]]:
    """Return what a file says of each run of a sweep, for put_settings(): a list of mappings, by the same names.

    Raises:
        FtfError: INVALID_ARGUMENT as read_config(), with the run's number; for no runs, and for the same twice.
    """
    content = _content(path, _LIST)
    if not isinstance(content, list) or not content:
        raise _refused(f"{path} has no list of runs", _LIST)
    found: list[dict[str, Any]] = []
    for number, one in enumerate(content, start=1):
        if not isinstance(one, dict):
            raise _refused(f"{path}, run {number}: it has no settings", _LIST)
        settings = _settings(one, path, f"run {number}: ")
        if settings in found:
            what = f"{path}: runs {found.index(settings) + 1} and {number} are the same"
            raise _refused(what, "leave one of them out")
        found.append(settings)
    return found


def put_settings(config: config_pb2.TrainingConfig, settings: Mapping[str, Any]) -> None:
    """Put what a file says over settings; a list replaces the one that is there."""
    ParseDict(dict(settings), config)


def schema() -> dict[str, Any]:
    """Return the JSON schema of such a file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of a training, by the names of TRL and PEFT",
        **_object(config_pb2.TrainingConfig.DESCRIPTOR, ""),
    }


def words_of(field: FieldDescriptor) -> dict[str, str]:
    """Return the words for an enum's values, with the values' names."""
    kind: Any = field.enum_type
    names = [value.name for value in kind.values]
    prefix = names[0].removesuffix("UNSPECIFIED")
    return {name.removeprefix(prefix).lower(): name for name in names[1:]}


def _content(path: str, remedy: str) -> Any:
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        first = " ".join(str(error).split())[:200]
        raise _refused(f"{path} cannot be read: {first}", remedy) from error


def _settings(content: Mapping[Any, Any], path: str, place: str) -> dict[str, Any]:
    """Return settings as the contract's JSON, checked; `place` says where in the file they stand."""
    faults: list[tuple[str, str]] = []
    settings = _named(content, config_pb2.TrainingConfig.DESCRIPTOR, "", faults)
    if faults:
        what, remedy = joined(faults)
        raise _refused(place + what, remedy)
    try:
        put_settings(config_pb2.TrainingConfig(), settings)
    except ParseError as error:
        raise _refused(f"{path}: {place}{str(error)[:200]}", "see `ftf train config-schema`") from error
    return settings


def _named(content: Mapping[Any, Any], form: Descriptor, path: str, faults: list[tuple[str, str]]) -> dict[str, Any]:
    """Return settings as the contract's JSON, each name checked; what is wrong goes into `faults`."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        field = form.fields_by_name.get(str(name))
        if field is None:
            close = difflib.get_close_matches(str(name), list(form.fields_by_name), 1, cutoff=0.0)
            faults.append((f'there is no setting "{path}{name}"', f'did you mean "{path}{close[0]}"?'))
        elif value is not None:
            found[str(name)] = _value(value, field, path, faults)
    return found


def _value(value: Any, field: FieldDescriptor, path: str, faults: list[tuple[str, str]]) -> Any:
    if field.message_type:
        if not isinstance(value, dict):
            faults.append((f"{path}{field.name} is no group of settings", "write its settings below it, indented"))
            return {}
        return _named(value, field.message_type, f"{path}{field.name}.", faults)
    if field.enum_type:
        words = words_of(field)
        if str(value).lower() not in words:
            faults.append((f'{path}{field.name} is "{str(value)[:80]}"', f"use {', '.join(words)}"))
        return words.get(str(value).lower())
    if field.is_repeated:
        return [value] if isinstance(value, str) else value
    # PEFT's init_lora_weights is True or a word.
    if isinstance(value, bool) and field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return str(value).lower()
    return value


def _object(form: Descriptor, path: str) -> dict[str, Any]:
    properties = {field.name: _property(field, path) for field in form.fields}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _property(field: FieldDescriptor, path: str) -> dict[str, Any]:
    if field.message_type:
        return _object(field.message_type, f"{path}{field.name}.")
    described = {"description": _HELP[path + field.name]} if path + field.name in _HELP else {}
    if field.enum_type:
        return {"enum": list(words_of(field)), **described}
    if field.is_repeated:
        return {"type": ["array", "string"], "items": {"type": _TYPES[field.cpp_type]}, **described}
    kinds = ["string", "boolean"] if field.name == "init_lora_weights" else _TYPES[field.cpp_type]
    return {"type": kinds, **described}


def _refused(what: str, remedy: str) -> FtfError:
    return FtfError(what, remedy, code="INVALID_ARGUMENT")
