"""Words about the server of this machine, and what hardware there is."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError

from finetuneflow_client.cli.grammar.command import Command, add_yes
from finetuneflow_client.cli.grammar.resources import RESOURCES
from finetuneflow_client.cli.grammar.settings import add_flags, add_training

_NUMBER = re.compile("[0-9]{1,5}")
_MOST_PORT = 65535


def _up(parser: ArgumentParser) -> None:
    where = "port on 127.0.0.1, 1 to 65535, kept in the state folder (0: that of last time, or a free one)"
    parser.add_argument("--port", type=_port, metavar="N", help=where)
    parser.add_argument("--allow-hub", action="store_true", help="let models be fetched from a model hub")
    parser.add_argument(
        "--metrics",
        type=_address,
        default="",
        metavar="HOST:PORT",
        help="serve Prometheus metrics there, at 1 to 65535",
    )


def _port(text: str) -> int:
    """Return a port, 0 for any. Raises ArgumentTypeError for what is none."""
    if not _NUMBER.fullmatch(text) or int(text) > _MOST_PORT:
        raise ArgumentTypeError(f'"{text[:40]}" is no port; use 1 to {_MOST_PORT}, or 0 for one that is free')
    return int(text)


def _address(text: str) -> str:
    """Return host:port, "" for none. Raises ArgumentTypeError for what is neither."""
    host, _, port = text.rpartition(":")
    if text and (not host or not _NUMBER.fullmatch(port) or int(port) > _MOST_PORT):
        raise ArgumentTypeError(f'"{text[:80]}" is no address; write HOST:PORT, with a port of 1 to {_MOST_PORT}')
    return text


def _hardware(parser: ArgumentParser) -> None:
    parser.add_argument("-m", "--model", default="", metavar="MODEL", help="also say what training it needs, and how")
    add_training(parser.add_argument_group("settings that are decided already"))
    add_flags(parser.add_argument_group("what the run would ask for"), RESOURCES)


def _model_add(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="folder in the Hugging Face layout, or a hub id")
    parser.add_argument("--id", default="", metavar="ID", help="id to give it; otherwise derived from the source")
    parser.add_argument("--revision", default="", metavar="REV", help="revision on the hub")


def _model_import(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="folder in the Hugging Face layout, or a zip or tar of one")
    parser.add_argument("--id", default="", metavar="ID", help="id to give it; otherwise derived from the name")


def _model(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="its id")


def _model_delete(parser: ArgumentParser) -> None:
    _model(parser)
    add_yes(parser)


COMMANDS = (
    Command(
        "up",
        "Start the server of this machine, in the foreground; Ctrl-C stops it.",
        "ftf up",
        "server.up",
        _up,
        connects=False,
    ),
    Command(
        "down",
        "Stop the server of this machine; runs save a checkpoint, and go on at the next `ftf up`.",
        "ftf down",
        "server.down",
        connects=False,
    ),
    Command(
        "doctor",
        "List what this set-up reaches, outside hosts above all, and ask each whether it answers; exit 1 if one fails.",
        "ftf doctor",
        "doctor.doctor",
    ),
    Command("status", "Say whether a server answers, where, and what it can do.", "ftf status", "server.status"),
    Command(
        "hardware",
        "Show what there is to train on, and with --model what fits and is recommended.",
        "ftf hardware --model smollm2",
        "hardware.hardware",
        _hardware,
    ),
    Command(
        "model add", "Record a base model: a folder or a hub id.", "ftf model add ./smollm2", "model.add", _model_add
    ),
    Command(
        "model import",
        "Upload a base model, so that no node needs its folder and no hub is asked: safetensors only, no code.",
        "ftf model import ./smollm2",
        "model.import_model",
        _model_import,
    ),
    Command("model list", "List the base models.", "ftf model list", "model.list_models"),
    Command("model show", "Show a base model.", "ftf model show smollm2", "model.show", _model),
    Command(
        "model delete",
        "Forget a base model, its files not, uploaded ones after a day; asks back where runs depend on it.",
        "ftf model delete smollm2",
        "model.delete",
        _model_delete,
    ),
)
