"""Datasets in numbers and pictures."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.dataset import charts
from services.dataset.accounts import Accounts
from services.dataset.core.ledger import OF_EXAMPLES, Step
from services.dataset.core.lengths import lengths, text
from services.dataset.core.report import ROWS, markdown
from services.dataset.core.statistics import Figures
from services.dataset.service import Datasets
from services.dataset.tokenizing import Tokenizing

MAX_LENGTH = 1_048_576


class Reporting:
    """Counts datasets and draws their reports."""

    def __init__(self, datasets: Datasets, accounts: Accounts, tokenizing: Tokenizing) -> None:
        self._datasets = datasets
        self._accounts = accounts
        self._tokenizing = tokenizing

    async def count(self, name: str, *, tokens: bool, model: str, max_length: int) -> dict[str, Any]:
        """Return a dataset in numbers, its tokens too if they are wanted.

        Raises:
            NotFound: there is no such dataset or model.
            InvalidArgument: max_length is out of range.
            NotReady: there is no tokenizer to count with (MODEL_INVALID, DEPENDENCY_UNAVAILABLE).
        """
        if not 0 <= max_length <= MAX_LENGTH:
            raise InvalidArgument(f"max_length is {max_length}; use 1 to {MAX_LENGTH}, or 0.", field="max_length")
        doc = await self._datasets.resources.get(name)
        tokenizer, count = await self._tokenizing.counter(model) if tokens or model or max_length else ("", None)
        prompt = doc["spec"].get("system_prompt", "")
        figures, counts = Figures(), array("q")
        async for examples in self._datasets.examples.pages(doc):
            await asyncio.to_thread(figures.add, examples)
            if count:
                texts = [text(example, prompt) for example in examples if example["accepted"]]
                counts.extend(await asyncio.to_thread(count, texts))
        found = figures.found()
        if count:
            found["tokens"] = lengths(tokenizer, counts, max_length)
        return found

    async def report(self, name: str, *, model: str, max_length: int) -> list[tuple[str, bytes]]:
        """Return the files of a dataset's report by name: report.md and its plots. Raises as count does."""
        found = await self.count(name, tokens=True, model=model, max_length=max_length)
        doc = await self._datasets.resources.get(name)
        steps = await self._accounts.steps(doc)
        return await asyncio.to_thread(_drawn, doc, steps, found)


def _drawn(dataset: Document, steps: Sequence[Step], found: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    tokens = found["tokens"]
    classes = [(c["from"], c["to"], c["count"]) for c in tokens["histogram"]]
    return [
        ("report.md", markdown(dataset, steps, found).encode()),
        ("tokens.png", charts.columns("Examples by length", classes, "tokens", tokens["max_length"])),
        (
            "documents.png",
            charts.bars("Accepted by document", _files(found["files"]), ("trained", "held out")),
        ),
        ("drops.png", charts.bars("What was dropped, by reason", _drops(steps))),
        ("ledger.png", charts.bars("From files to sides, share of each step", _steps(steps), ("went on", "dropped"))),
    ]


def _files(files: Sequence[Mapping[str, Any]]) -> list[charts.Bar]:
    most = sorted(files, key=lambda f: (-f["accepted"], f["display_name"]))[:ROWS]
    return [
        (
            f["display_name"],
            (0, f["accepted"]) if f["split"] == "SPLIT_EVAL" else (f["accepted"], 0),
            f"{f['accepted']:,}",
        )
        for f in most
    ]


def _drops(steps: Sequence[Step]) -> list[charts.Bar]:
    """Return drops of examples, calls and chunks; pages and characters are of another size."""
    rows = [
        (reason, count, step.name)
        for step in steps
        if step.name in ("chunks", "calls", *OF_EXAMPLES)
        for reason, count in step.dropped().items()
    ]
    most = sorted(rows, key=lambda row: -row[1])[:ROWS]
    return [(reason, (count,), f"{count:,} at {name}") for reason, count, name in most]


def _steps(steps: Sequence[Step]) -> list[charts.Bar]:
    """Return each step as shares of what came into it, in thousandths, since steps count different things."""
    rows: list[charts.Bar] = []
    for step in steps:
        went = round(1000 * step.went / step.came) if step.came else 0
        parts = (went, 1000 - went if step.came else 0)
        rows.append((step.name, parts, f"{step.went:,} of {step.came:,} {step.unit}"))
    return rows
