"""Words about datasets that come from other programs, or go to them."""

from __future__ import annotations

from argparse import ArgumentParser

from finetuneflow_client.cli.grammar.command import Command

FORMATS = ("alpaca", "sharegpt", "messages", "prompt-completion", "preference", "kto", "text")
ENCODINGS = ("jsonl", "csv", "parquet")
SPLITS = ("train", "eval", "recall")


def form_flags(parser: ArgumentParser) -> None:
    """Add the flags that say in what form a dataset is wanted."""
    parser.add_argument("--format", choices=FORMATS, default="", help="what a row says; otherwise the frozen file")
    parser.add_argument("--as", dest="encoding", choices=ENCODINGS, default="", help="how rows are written (jsonl)")
    parser.add_argument("--with-source", action="store_true", help="add id, split and where each row comes from")
    parser.add_argument("--from-reviews", action="store_true", help="make preference or kto of review decisions")
    parser.add_argument("--split", choices=SPLITS, default="", help="only the examples of this side")


def _import(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="JSON Lines, a JSON list, CSV or Parquet")
    parser.add_argument("--id", default="", metavar="ID", help="id to give it; otherwise made up")
    parser.add_argument("--format", choices=FORMATS, default="", help="what a row says; otherwise told by the columns")
    parser.add_argument("--as", dest="encoding", choices=ENCODINGS, default="", help="otherwise told by the file")
    parser.add_argument("--map", default="", metavar="MAP", help="columns: prompt=question,response=answer")
    parser.add_argument("--split-column", default="", metavar="COLUMN", help="column that says train, eval or test")
    parser.add_argument("--eval-fraction", type=float, metavar="X", help="share of rows held out, 0 to 0.9 (0.15)")
    parser.add_argument("--system-prompt", default="", metavar="TEXT", help="for conversations that have none")
    parser.add_argument("--strict", action="store_true", help="one bad row refuses the file")
    parser.add_argument("--no-watch", action="store_true", help="return at once")


def _problems(parser: ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", default="", metavar="DATASET", help="its id; otherwise the newest")
    parser.add_argument(
        "-o", "--output", default="", metavar="FILE", help="write them there as JSON Lines; folders are made"
    )


COMMANDS = (
    Command(
        "dataset import",
        "Make a dataset of a file of examples: alpaca, sharegpt, messages, preference, KTO, raw text.",
        "ftf dataset import qa.csv --map prompt=question,response=answer",
        "transfer.import_dataset",
        _import,
        project=True,
    ),
    Command(
        "dataset problems",
        "Show the rows that an import left out, with the reason and the remedy.",
        "ftf dataset problems d1 -o problems.jsonl",
        "transfer.problems",
        _problems,
        project=True,
    ),
)
