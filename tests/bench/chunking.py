"""What chunking costs: python -m tests.bench.chunking [--megabytes N] [--rounds N] [--tokenizer tokenizer.json]

Cuts Markdown, the descriptions of installed packages one after the other, each contestant in turn, round after round,
with one and the same tokenizer, and prints MB/s (median over the rounds), the ratio to one raw pass of the tokenizer
over the text, that to a raw pass of what the contestant itself counts by, and how ours stands against each. No part of
the text is there twice, and every contestant begins each round anew: chonkie's recursive chunker remembers how many
tokens a piece of text has, so that it counts hardly anything of a text that repeats itself or that it has seen before;
gigatoken, by which we count, remembers words. Ours is the whole work of the sandbox on an extracted text: chunks with
spans, places, context, exact tokens and proven coverage, in memory. The raw pass is tiktoken's, with which the others
count, too. A peer that is not installed is named; `make bench` installs them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import psutil
import tiktoken
from tokenizers import Tokenizer

from services.common.ranks import RankFiles
from services.ingest.core.chunks import Cutter
from services.ingest.core.coverage import Coverage
from services.ingest.core.plain import markdown_document
from services.ingest.sandbox.cl100k import cl100k_base
from services.ingest.sandbox.cut import with_gaps
from services.ingest.sandbox.tokenizer import load_tokenizer

MAX_TOKENS = 384
GIGATOKEN = "raw pass of gigatoken"

Contestant = Callable[[], int]
Maker = Callable[[], Contestant]
"""Makes a contestant that has seen nothing yet; no time is taken meanwhile."""


def sample(megabytes: float) -> str:
    """Return at most so much Markdown, without repeats."""
    found = {d.name: str(d.metadata.get_payload()) for d in metadata.distributions()}  # type: ignore[attr-defined]  # a message
    whole = "\n\n".join(found[name] for name in sorted(found)).replace("<|", "< |")  # chonkie takes no special token
    seen: set[str] = set()
    kept = [part for part in whole.split("\n\n") if not (part in seen or seen.add(part))]  # type: ignore[func-returns-value]  # adds
    return "\n\n".join(kept)[: round(megabytes * 1e6)]


def ours(text: str, path: str) -> Contestant:
    """Return our cutting."""
    cl100k_base.cache_clear()
    document, tokenizer = markdown_document(text), load_tokenizer(path)

    def run() -> int:
        cutter = Cutter(document, MAX_TOKENS, 0, tokenizer)
        chunks = (chunk for chunk, _ in cutter.chunks())
        return sum(1 for _ in with_gaps(chunks, Coverage(document)))

    return run


def by_gigatoken(text: str) -> Contestant:
    """Return one pass of the tokenizer that we use for cl100k_base."""
    cl100k_base.cache_clear()
    tokenizer = load_tokenizer("")
    return lambda: tokenizer.count(text)


def contestants(text: str, path: str) -> tuple[dict[str, Maker], list[str]]:
    """Return what is measured, by name, and what cannot be."""
    encoding = None if path else tiktoken.get_encoding("cl100k_base")
    tokenizer = Tokenizer.from_file(path) if path else None

    def count(part: str) -> int:
        if encoding:
            return len(encoding.encode_ordinary(part))
        assert tokenizer is not None
        return len(tokenizer.encode(part, add_special_tokens=False))

    found: dict[str, Maker] = {"raw pass": lambda: lambda: count(text), "ours": lambda: ours(text, path)}
    if not path:
        found[GIGATOKEN] = lambda: by_gigatoken(text)
    missing: list[str] = []
    try:
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        splitter = RecursiveCharacterTextSplitter(chunk_size=MAX_TOKENS, chunk_overlap=0, length_function=count)
        found["langchain-text-splitters, recursive"] = lambda: lambda: len(splitter.split_text(text))
    except ImportError as error:
        missing.append(f"langchain-text-splitters ({error})")
    try:
        from chonkie import RecursiveChunker, SentenceChunker, TokenChunker

        given = {"tokenizer": encoding or tokenizer, "chunk_size": MAX_TOKENS}
        found["chonkie, recursive"] = lambda: lambda: len(RecursiveChunker(**given).chunk(text))
        found["chonkie, sentences"] = lambda: lambda: len(SentenceChunker(**given, chunk_overlap=0).chunk(text))
        found["chonkie, tokens alone"] = lambda: lambda: len(TokenChunker(**given, chunk_overlap=0).chunk(text))
    except Exception as error:  # it looks for its tokenizers in many ways, some of them by a network
        missing.append(f"chonkie ({error})")
    return found, missing


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=1.0, help="text to cut")
    parser.add_argument("--rounds", type=int, default=5, help="at least 3")
    parser.add_argument("--tokenizer", default="", help="a tokenizer.json; otherwise cl100k_base")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TIKTOKEN_CACHE_DIR"] = str(asyncio.run(RankFiles("", Path(folder)).folder()))
        text = sample(arguments.megabytes)
        found, missing = contestants(text, arguments.tokenizer)
        measure(text, found, max(arguments.rounds, 3))
        for name in missing:
            print(f"not measured: {name}")


def measure(text: str, found: dict[str, Maker], rounds: int) -> None:
    """Run all once to warm up, then round after round; print one table."""
    chunks = {name: make()() for name, make in found.items()}
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, make in found.items():
            run = make()
            begun = time.process_time()
            run()
            seconds[name].append(time.process_time() - begun)
    size = len(text.encode()) / 1e6
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    own = dict.fromkeys(found, "raw pass") | dict.fromkeys(("ours", GIGATOKEN) if GIGATOKEN in found else (), GIGATOKEN)
    print(f"{size:.1f} MB, {rounds} rounds, processor time, at most {MAX_TOKENS} tokens a chunk")
    print(f"{'':<38}{'MB/s':>8}{'range':>16}{'to raw pass':>13}{'to its own':>12}{'ours to it':>12}{'gives':>9}")
    for name, values in seconds.items():
        spread = f"{size / max(values):.1f} to {size / min(values):.1f}"
        to_raw, to_it = middle["raw pass"] / middle[name], middle[name] / middle["ours"]
        ratios = f"{to_raw:>13.2f}{middle[own[name]] / middle[name]:>12.2f}{to_it:>12.2f}"
        print(f"{name:<38}{size / middle[name]:>8.1f}{spread:>16}{ratios}{chunks[name]:>9}")
    print(f"memory of this process: {psutil.Process().memory_info().rss / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
