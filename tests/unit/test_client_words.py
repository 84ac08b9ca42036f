"""The words of `ftf`: every command leads somewhere, every flag to a field of the contract, help is instant."""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.ingest.v1 import file_pb2
from finetuneflow.training.v1 import config_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.export import size_of
from finetuneflow_client.cli.grammar.command import Command
from finetuneflow_client.cli.grammar.parser import COMMANDS, build
from finetuneflow_client.cli.grammar.settings import CHUNK, DATASET, TRAINING, Setting
from finetuneflow_client.cli.main import resolve
from finetuneflow_client.cli.settings import described, training_config
from finetuneflow_client.errors import FtfError, WorkCancelled, WorkFailed, WorkPaused

KINDS = {
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_STRING: str,
}


def scalars(message: Descriptor, prefix: str = "") -> dict[str, type]:
    """Return the fields of a message that a flag can set, those of messages in it by a dotted path."""
    found: dict[str, type] = {}
    for field in message.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found[prefix + field.name] = dict
        elif field.message_type is not None:
            found |= scalars(field.message_type, f"{field.name}.")
        elif field.enum_type is None:
            found[prefix + field.name] = list if field.is_repeated else KINDS[field.cpp_type]
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_command_leads_to_a_function_and_its_example_parses(command: Command) -> None:
    """The grammar names functions by strings; a wrong one would only be seen when a user calls it."""
    handler = resolve(command)
    words = shlex.split(command.example)

    assert inspect.iscoroutinefunction(handler) == command.connects
    assert words[0] == "ftf"
    parsed = [vars(parser.parse_args(words[1:])) for parser in (build(), build(words[1:]))]
    assert parsed[0]["command"] is command
    assert {**parsed[0], "outer": None} == {**parsed[1], "outer": None}
    assert command.sentence.endswith(".")


@pytest.mark.parametrize(
    ("settings", "message", "apart"),
    [
        (TRAINING, config_pb2.TrainingConfig, set()),
        (DATASET, dataset_pb2.DatasetSpec, {"files", "llm_endpoint", "template", "personas", "extraction_schema"}),
        (CHUNK, file_pb2.ChunkSettings, {"model"}),
    ],
    ids=["training", "dataset", "chunk"],
)
def test_every_setting_of_the_contract_has_a_flag_of_its_type(
    settings: tuple[Setting, ...], message: type, apart: set[str]
) -> None:
    """A field added to the contract and not to the table fails here; enums have words, messages may have a switch."""
    messages = {field.name for field in message.DESCRIPTOR.fields if field.message_type}  # type: ignore[attr-defined]  # as below
    flags = {s.field: s.kind for s in settings if not s.choices and (s.field not in messages or s.kind is dict)}
    fields = {name: kind for name, kind in scalars(message.DESCRIPTOR).items() if name not in apart}  # type: ignore[attr-defined]  # every message has it

    assert flags == fields


def test_flags_set_fields_and_what_is_not_given_stays_unset() -> None:
    """The server's default or recommendation holds for the rest."""
    flags = "--r 4 --target-modules q_proj,v_proj --learning-rate 0.001 --no-packing --max-steps 0"
    args = build().parse_args(["train", *flags.split()])
    config = training_config(args)

    assert config == config_pb2.TrainingConfig(
        lora=config_pb2.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]),
        learning_rate=0.001,
        packing=False,
        max_steps=0,
    )
    assert dict(described(config))["learning_rate"] == "0.001"


def test_help_teaches_the_flow_and_the_exit_codes() -> None:
    """A user who reads nothing else can get from documents to weights."""
    text = build().format_help()
    steps = [
        text.index(f"ftf {step}")
        for step in ("project create", "upload", "chunk", "dataset generate", "train", "export")
    ]

    assert steps == sorted(steps)
    assert all(f"{code:<4} {meaning}" in text for code, meaning in exits.MEANINGS)


@pytest.mark.parametrize("words", ["--help", "--version", "train --help", "profiles list", "completion bash"])
def test_what_needs_no_server_imports_neither_grpc_nor_generated_code_nor_rich(words: str) -> None:
    """They take longer to import than help takes to read."""
    code = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    code += "from finetuneflow_client.cli.main import main; main(sys.argv[1:])"
    found = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True, check=True)

    assert {"grpc", "rich", "google.protobuf", "finetuneflow", "asyncio"} & set(found.stderr.split()) == set()


def test_a_list_imports_neither_rich_nor_what_sends_and_shows() -> None:
    """It begins sooner by a fifth of its processor time."""
    code = "import sys, finetuneflow_client.client, finetuneflow_client.cli.runs; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    views = [name for name in found if name.startswith("finetuneflow_client.cli.view.")]

    assert (views, {"rich", "finetuneflow_client.models"} & set(found)) == ([], set())


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["trian"], 'did you mean "train"?'),
        (["dataset", "shwo"], 'did you mean "show"? — see `ftf dataset --help`'),
        (["chunk", "--chunk-token", "9"], 'did you mean "--max-tokens"?'),
        (["run", "d", "-m", "x", "--chunk-token", "9"], 'did you mean "--chunk-tokens"?'),
        (["train", "--lerning-rate", "1"], 'no flag "--lerning-rate"; did you mean "--learning-rate"? — see'),
        (["train", "--lerning-rate=1"], "see `ftf train --help`"),
        (["dataset", "show", "a", "b"], '"b" is one word too many — see `ftf dataset show --help`'),
        (["train", "--learning-rate", "fast"], "invalid float value"),
        (["train", "--learn", "1"], "--learn"),
        (["export", "--format", "zip"], "gguf"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage is a page away; the mistake is not."""
    with pytest.raises(SystemExit) as caught:
        build().parse_args(argv)

    error = capsys.readouterr().err
    assert caught.value.code == exits.USAGE
    assert said in error
    assert error.startswith("ftf: ")
    assert error.count("\n") == 1


def test_an_llm_key_cannot_be_given_on_the_command_line() -> None:
    """Every user of the machine could read it there."""
    options = {s for command in COMMANDS if command.words == "llm create" for s in _options(command)}

    assert "--api-key" not in options
    assert "--api-key-file" in options


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FtfError("x", code="INVALID_ARGUMENT"), exits.USAGE),
        (FtfError("x", code="NOT_FOUND", reason="NOT_FOUND"), exits.NOT_FOUND),
        (FtfError("x", code="FAILED_PRECONDITION", reason="NOT_CHUNKED"), exits.NOT_READY),
        (FtfError("x", code="UNAVAILABLE"), exits.AWAY),
        (FtfError("x", code="UNAVAILABLE", reason="LLM_UNAVAILABLE"), exits.FAILED),
        (FtfError("x", code="RESOURCE_EXHAUSTED", reason="DISK_FULL"), exits.FAILED),
        (WorkFailed("x", code="FAILED_PRECONDITION", reason="TRAINER_CRASHED"), exits.FAILED),
        (WorkCancelled("x", code="CANCELLED"), exits.CANCELLED),
        (WorkPaused("x", code="UNAVAILABLE", reason="LLM_UNAVAILABLE"), exits.NOT_READY),
    ],
)
def test_exit_codes_tell_errors_apart(error: FtfError, code: int) -> None:
    """A script can tell a server that is away from an LLM that is away to the server."""
    assert exits.exit_code(error) == code


@pytest.mark.parametrize(
    ("collection", "value", "parent", "name"),
    [
        ("runs", "r1", "projects/p", "projects/p/runs/r1"),
        ("runs", "runs/r1", "projects/p", "projects/p/runs/r1"),
        ("runs", "projects/q/runs/r1", "projects/p", "projects/q/runs/r1"),
        ("models", "m", "", "models/m"),
        ("models", "models/m", "", "models/m"),
        ("projects", "p", "", "projects/p"),
    ],
)
def test_short_ids_and_full_names_mean_the_same(collection: str, value: str, parent: str, name: str) -> None:
    """A full name may even be of another project."""
    assert names.full(collection, value, parent) == name
    assert names.full(collection, name, parent) == name


def _options(command: Command) -> list[str]:
    parser = build()
    commands = next(iter(parser._subparsers._group_actions)).choices  # type: ignore[union-attr]  # there is one
    noun, _, verb = command.words.partition(" ")
    inner = next(iter(commands[noun]._subparsers._group_actions)).choices[verb]  # type: ignore[index]  # as above
    return [option for action in inner._actions for option in action.option_strings]


def test_sizes_are_read_in_decimal_units_and_have_a_bound() -> None:
    """What no field can hold is refused in words."""
    assert [size_of(text) for text in ("500MB", "1.5 gb", "7")] == [500_000_000, 1_500_000_000, 7]
    for text in ("9223373TB", "9" * 400 + "TB", "2 XB", ""):
        with pytest.raises(FtfError) as refused:
            size_of(text)
        assert refused.value.code == "INVALID_ARGUMENT"
