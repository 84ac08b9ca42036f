"""Flags → messages, and messages → words."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.ingest.v1 import file_pb2
from finetuneflow.training.v1 import config_pb2, resources_pb2
from finetuneflow_client import names
from finetuneflow_client.cli.grammar.resources import RESOURCES
from finetuneflow_client.cli.grammar.settings import CHUNK, DATASET, TRAINING, Setting
from finetuneflow_client.cli.tasks import question_types, read_text, template_name
from finetuneflow_client.enums import words
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from google.protobuf.message import Message

_STRATEGIES = {
    "structure": file_pb2.CHUNK_STRATEGY_STRUCTURE,
    "markdown": file_pb2.CHUNK_STRATEGY_MARKDOWN,
    "code": file_pb2.CHUNK_STRATEGY_CODE,
}


def training_config(args: Namespace) -> config_pb2.TrainingConfig:
    """Return the settings of a training that the user gave, flags before those of a file; the rest is unset."""
    config = config_pb2.TrainingConfig()
    if args.config:
        # Not at the top: reading YAML is nothing that other commands need.
        from finetuneflow_client.cli.configfile import read_config

        config = read_config(args.config)
    put(config, TRAINING, args)
    return config


def run_resources(args: Namespace) -> resources_pb2.Resources:
    """Return what the user asks of the place where a run runs; the rest is unset."""
    resources = resources_pb2.Resources()
    put(resources, RESOURCES, args)
    return resources


def asked(resources: resources_pb2.Resources) -> str:
    """Return what a run asks for, in words: "gpus 2, memory 64Gi"."""
    found = [(s.field, getattr(resources, s.field)) for s in RESOURCES if s.field != "nodes" or resources.nodes > 1]
    shown = [(name, value) for name, value in found if value or (name == "gpus" and resources.HasField("gpus"))]
    return ", ".join(f"{name} {value}" for name, value in shown)


def chunk_settings(args: Namespace, model: str, flags: tuple[Setting, ...] = CHUNK) -> file_pb2.ChunkSettings:
    """Return how to cut: the user's settings, tokens counted by a model (empty: tiktoken)."""
    settings = file_pb2.ChunkSettings(model=model)
    if args.strategy:
        settings.strategy = _STRATEGIES[args.strategy]
    put(settings, flags, args)
    return settings


def dataset_spec(
    args: Namespace, files: list[str], llm_endpoint: str, flags: tuple[Setting, ...] = DATASET
) -> dataset_pb2.DatasetSpec:
    """Return what to generate: the user's settings; no files means all of the project."""
    spec = dataset_pb2.DatasetSpec(files=files, llm_endpoint=llm_endpoint, personas=args.persona)
    if args.task:
        spec.task_type = dataset_pb2.TaskType.Value("TASK_TYPE_" + args.task.upper().replace("-", "_"))
    if args.template:
        spec.template = template_name(args.template)
    spec.question_types.extend(question_types(args.question_types))
    if args.extract:
        spec.extraction_schema = read_text(args.extract)
    put(spec, flags, args)
    for further in (spec.judge, spec.semantic_duplicates):
        if further.llm_endpoint:
            further.llm_endpoint = names.full("llmEndpoints", further.llm_endpoint)
    return spec


def described(config: config_pb2.TrainingConfig) -> list[tuple[str, str]]:
    """Return the settings that are set, as the names and values of their flags."""
    found = []
    for setting in TRAINING:
        owner, field = _owner(config, setting.field)
        if _is_set(owner, field):
            value = getattr(owner, field)
            if setting.choices:
                value = next(word for word, number in words(owner, field).items() if number == value)
            if setting.kind is list:
                value = ", ".join(map(str, value))
            shown = _typed(value) if setting.kind is float else str(value)
            shown = shown.lower() if setting.kind is bool else shown
            found.append((field, shown))
    return found


def _typed(value: float) -> str:
    """Return a number as it may be typed: a whole one without an exponent."""
    return f"{value:.0f}" if abs(value) < 1e15 and value == int(value) else f"{value:g}"


def put(message: Message, settings: tuple[Setting, ...], args: Namespace) -> None:
    """Set the fields of a message that flags were given for."""
    for setting in settings:
        value = getattr(args, setting.key)
        if value is None:
            continue
        owner, field = _owner(message, setting.field)
        if setting.kind is list:
            getattr(owner, field)[:] = _parts(owner, field, value, setting.option)
        elif setting.kind is dict:
            getattr(owner, field).update(_pairs(owner, field, value, setting.option))
        elif owner.DESCRIPTOR.fields_by_name[field].message_type:
            if value:
                getattr(owner, field).SetInParent()
        elif setting.choices:
            setattr(owner, field, words(owner, field)[value])
        else:
            setattr(owner, field, value)


def _parts(message: Any, field: str, text: str, option: str) -> list[Any]:
    """Return "a,b" as the values of a repeated field."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if message.DESCRIPTOR.fields_by_name[field].cpp_type != FieldDescriptor.CPPTYPE_DOUBLE:
        return parts
    try:
        return [float(part) for part in parts]
    except ValueError as error:
        raise FtfError(
            f"{option} {text}: not numbers by comma", "write some as 1,0.5", code="INVALID_ARGUMENT"
        ) from error


def _pairs(message: Any, field: str, text: str, option: str) -> dict[str, int]:
    """Return "EMAIL=mask,*=drop" as the entries of a map whose values are an enum."""
    known = words(message, field)
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, action = (piece.strip() for piece in part.partition("="))
        if action.lower() not in known:
            raise FtfError(f"{option} {part}: not of the form KIND=ACTION", f"actions are {', '.join(known)}")
        found[name.upper()] = known[action.lower()]
    return found


def _owner(message: Any, path: str) -> tuple[Any, str]:
    """Return the message that a dotted path's last field is in, and that field."""
    *outer, field = path.split(".")
    for name in outer:
        message = getattr(message, name)
    return message, field


def _is_set(message: Any, field: str) -> bool:
    form = message.DESCRIPTOR.fields_by_name[field]
    return bool(message.HasField(field) if form.has_presence else getattr(message, field))
