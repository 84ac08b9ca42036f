"""One command, as data."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass


def no_arguments(parser: ArgumentParser) -> None:
    """Add nothing."""


def add_yes(parser: ArgumentParser) -> None:
    """Add the flag of what deletes."""
    parser.add_argument("-y", "--yes", action="store_true", help="delete it without asking, whatever depends on it")


@dataclass(frozen=True)
class Command:
    """A command of `ftf`.

    Attributes:
        words: "train", "dataset generate".
        sentence: what it does, for help.
        example: a line to copy.
        runs: module of finetuneflow_client.cli and function: "dataset.generate".
        arguments: adds its own arguments.
        project: whether it works in a project, so takes -p.
        connects: whether it needs a server.
        streams: whether its result comes bit by bit: JSON Lines, a document a line, instead of one document.
    """

    words: str
    sentence: str
    example: str
    runs: str
    arguments: Callable[[ArgumentParser], None] = no_arguments
    project: bool = False
    connects: bool = True
    streams: bool = False
