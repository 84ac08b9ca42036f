"""Words about datasets that come from other programs, or go to them."""

from __future__ import annotations

from argparse import ArgumentParser

FORMATS = ("alpaca", "sharegpt", "messages", "prompt-completion", "preference", "kto")
ENCODINGS = ("jsonl", "csv", "parquet")
SPLITS = ("train", "eval", "recall")


def form_flags(parser: ArgumentParser) -> None:
    """Add the flags that say in what form a dataset is wanted."""
    parser.add_argument("--format", choices=FORMATS, default="", help="what a row says; otherwise the frozen file")
    parser.add_argument("--as", dest="encoding", choices=ENCODINGS, default="", help="how rows are written (jsonl)")
    parser.add_argument("--with-source", action="store_true", help="add id, split and where each row comes from")
    parser.add_argument("--split", choices=SPLITS, default="", help="only the examples of this side")
