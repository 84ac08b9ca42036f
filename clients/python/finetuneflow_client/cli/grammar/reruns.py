"""Words about what a run leaves to go on from: its checkpoints, and runs like it."""

from __future__ import annotations

from argparse import ArgumentParser

from finetuneflow_client.cli.grammar.command import Command
from finetuneflow_client.cli.grammar.settings import add_dry_run


def begin_flags(parser: ArgumentParser, flag: str) -> None:
    """Add the flags that say what a run begins from."""
    parser.add_argument(
        flag,
        default="",
        metavar="RUN[/checkpoint-N]",
        help="begin from a checkpoint of a run, at its step; without N its newest from before the loss rose",
    )
    parser.add_argument(
        "--resume-weights-only",
        action="store_true",
        help="take only its weights: another learning rate, dataset, … may follow, and steps count from 0",
    )


def add_priority(parser: ArgumentParser, default: int | None = 0) -> None:
    """Add the flag that says what goes first."""
    shown = "otherwise the run's" if default is None else str(default)
    parser.add_argument(
        "--priority",
        type=int,
        default=default,
        metavar="N",
        help=f"what goes first, -1000 to 1000 ({shown}); in a cluster as its administrator listed it",
    )


def _checkpoints(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="its id; otherwise the newest")


def _rerun(parser: ArgumentParser) -> None:
    parser.add_argument(
        "run", metavar="RUN", help="id of the run to do again: same dataset version, model, settings, resources"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="setting of `ftf train` to change; may be repeated",
    )
    parser.add_argument(
        "--dataset-version",
        type=int,
        default=0,
        metavar="N",
        help="another version of its dataset; otherwise the run's",
    )
    begin_flags(parser, "--from-checkpoint")
    add_priority(parser, default=None)
    parser.add_argument("--id", default="", metavar="ID", help="id to give the run; otherwise made up")
    add_dry_run(parser)
    parser.add_argument("-w", "--watch", action="store_true", help="follow it to its end")


COMMANDS = (
    Command(
        "checkpoints",
        "List a run's checkpoints: step, loss, size, hash, and why each is kept.",
        "ftf checkpoints run-1",
        "during.checkpoints",
        _checkpoints,
        project=True,
    ),
    Command(
        "rerun",
        "Do a run again with some settings changed, from the beginning or from a checkpoint.",
        "ftf rerun run-1 --set learning_rate=1e-4 --watch",
        "rerunning.rerun",
        _rerun,
        project=True,
    ),
)
