"""`--chunk-tokens` and `--max-tokens`: either is understood where chunks are cut, and one of them is shown."""

from __future__ import annotations

import io
from argparse import Namespace
from types import SimpleNamespace
from typing import cast

import pytest

from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.run import take_chunk_tokens
from finetuneflow_client.cli.screen import Screen
from finetuneflow_client.cli.session import Session
from finetuneflow_client.errors import FtfError


def parsed(words: str) -> Namespace:
    """Return what a command line means."""
    return build(words.split()).parse_args(words.split())


def taken(words: str) -> tuple[int, str]:
    """Return the tokens of a chunk that `ftf run` goes by, and what it says of them."""
    stream, args = io.StringIO(), parsed(words)
    take_chunk_tokens(cast("Session", SimpleNamespace(args=args, screen=Screen(stream))))
    return args.chunk_tokens, stream.getvalue()


def test_chunk_takes_the_flag_of_run() -> None:
    """It is the same setting."""
    assert parsed("chunk --chunk-tokens 99").max_tokens == parsed("chunk --max-tokens 99").max_tokens == 99


def test_run_takes_the_flag_of_chunk_and_says_so() -> None:
    """For `ftf dataset generate` has one of that name, too; both at once are refused."""
    said = "--max-tokens 99 is taken as --chunk-tokens; that of a reply is --reply-tokens\n"

    assert taken("run d -m x --chunk-tokens 99") == (99, "")
    assert taken("run d -m x --max-tokens 99") == (99, said)
    with pytest.raises(FtfError, match="give one"):
        taken("run d -m x --max-tokens 99 --chunk-tokens 9")
