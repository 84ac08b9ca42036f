"""Words about what became of things: ledgers, reviews, versions."""

from __future__ import annotations

from argparse import ArgumentParser

from finetuneflow_client.cli.grammar.command import Command


def _dataset(parser: ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", default="", metavar="DATASET", help="its id; otherwise the newest")


def _ledger(parser: ArgumentParser) -> None:
    _dataset(parser)
    parser.add_argument(
        "--version", type=int, default=0, metavar="N", help="that of a frozen version; otherwise as now"
    )
    parser.add_argument("--step", default="", metavar="S", help="list what this step dropped: files, chunks, checks, …")
    parser.add_argument("--reason", default="", metavar="R", help="list what was dropped for this reason")


def _review(parser: ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        metavar="EXAMPLE or DATASET",
        help="ids of examples, or DATASET/EXAMPLE; with --filter a dataset; otherwise the newest",
    )
    parser.add_argument("-d", "--dataset", default="", metavar="DATASET", help="the dataset of examples that are named")
    parser.add_argument(
        "--filter", default="", metavar="F", help="'accepted = true AND scores.judge >= 4', 'text : \"tax\"', '*', …"
    )
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--approve", action="store_true", help="they are good as they are")
    decision.add_argument("--reject", action="store_true", help="they do not belong into the dataset")
    decision.add_argument("--reset", action="store_true", help="take a decision back")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="add a tag; may be repeated")
    parser.add_argument("--untag", action="append", default=[], metavar="TAG", help="remove a tag; may be repeated")
    parser.add_argument("--note", metavar="TEXT", help='a note; "" removes it')
    parser.add_argument("--dry-run", action="store_true", help="only count")


def _diff(parser: ArgumentParser) -> None:
    said = "DATASET:N, a version's number, or a dataset for its newest"
    parser.add_argument("base", nargs="?", default="", metavar="A", help=f"{said}; otherwise the one before B")
    parser.add_argument("other", nargs="?", default="", metavar="B", help=f"{said}; otherwise the newest")
    parser.add_argument("-d", "--dataset", default="", metavar="DATASET", help="whose numbers; otherwise the newest")


def _unlearn(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="an id or a file name; the id if it is deleted already")
    parser.add_argument("-y", "--yes", action="store_true", help="do it; otherwise only show what used the document")
    parser.add_argument(
        "--erase", action="store_true", help="with --yes: also erase the frozen versions that have rows from it"
    )


COMMANDS = (
    Command(
        "dataset ledger",
        "Show what became of everything, from files to sides, and why things were dropped.",
        "ftf dataset ledger --step checks --reason DUPLICATE",
        "ledger.ledger",
        _ledger,
        project=True,
    ),
    Command(
        "dataset review",
        "Approve, reject, tag or note examples, one or many.",
        "ftf dataset review d1 --filter 'accepted = true AND scores.judge >= 4' --approve",
        "ledger.review",
        _review,
        project=True,
    ),
    Command(
        "dataset diff",
        "Compare two frozen versions: rows added, removed, changed, moved to another side.",
        "ftf dataset diff d1:1 d1:3",
        "versions.diff",
        _diff,
        project=True,
    ),
    Command(
        "unlearn",
        "Show all that used a document; with --yes delete it and rebuild the datasets without it.",
        "ftf unlearn handbook.pdf --yes",
        "unlearn.unlearn",
        _unlearn,
        project=True,
    ),
)
