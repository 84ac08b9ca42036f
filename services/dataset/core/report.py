"""A dataset's report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.dataset.core.ledger import Step

ROWS = 20
"""Rows of a table of documents; the rest is summed up."""


def markdown(dataset: Mapping[str, Any], steps: Sequence[Step], found: Mapping[str, Any]) -> str:
    """Return the report.

    Args:
        dataset: its document.
        steps: its ledger.
        found: its statistics, tokens included.
    """
    name = str(dataset["_id"])
    parts = [
        f"# Dataset {name.rpartition('/')[2]}",
        _facts(dataset, found),
        "## What became of everything",
        "At each step, in = out + dropped.",
        _ledger(steps),
        "![Ledger](ledger.png)",
        "## Lengths",
        _lengths(found["tokens"]),
        "![Tokens](tokens.png)",
        "## Balance",
        _documents(found["files"]),
        "![Documents](documents.png)",
        _named("Task type", found["types"]),
        _named("Language", found["languages"]),
        _scores(found["scores"]),
        _judged(found["judged"]),
        _flags(dataset.get("flags", {})),
        "## Why things were dropped",
        "![Drops](drops.png)",
        "## Versions",
        _versions(dataset["versions"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(dataset: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    usage = dataset["usage"]
    rows = [
        ("Name", dataset["_id"]),
        ("LLM", dataset.get("llm", "")),
        ("Accepted examples", f"{found['accepted']:,}, {found['approved']:,} of them approved by a person"),
        (
            "Sides",
            f"{found['train_examples']:,} to train on, {found['eval_examples']:,} of documents held out, "
            f"{found['recall_examples']:,} kept back of trained documents",
        ),
        ("Doubles dropped", f"{found['duplicates']:,}"),
        (
            "Used",
            f"{int(usage['calls']):,} calls, {int(usage['prompt_tokens']):,} prompt and "
            f"{int(usage['completion_tokens']):,} reply tokens, {usage['seconds']:,.0f} s",
        ),
    ]
    return _table(("", ""), [row for row in rows if row[1]])


def _ledger(steps: Sequence[Step]) -> str:
    rows = []
    for step in steps:
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in step.dropped().items())
        parts = ", ".join(f"{count:,} {name}" for name, count in step.parts.items())
        rows.append((step.name, f"{step.came:,}", f"{step.went:,}", dropped, parts))
    return _table(("Step", "In", "Out", "Dropped", "Goes to"), rows)


def _lengths(tokens: Mapping[str, Any]) -> str:
    rows = [("min", f"{tokens['min']:,}"), ("mean", f"{tokens['mean']:,.1f}")]
    rows += [(f"p{p['percent']}", f"{p['tokens']:,}") for p in tokens["percentiles"]]
    rows.append(("max", f"{tokens['max']:,}"))
    told = f"Tokens of an example as {tokens['tokenizer']} counts, without what a chat template adds."
    if tokens["max_length"]:
        told += (
            f" {tokens['truncated']:,} examples ({tokens['truncated_share']:.1%}) are longer than max_length "
            f"{tokens['max_length']:,} and would be cut."
        )
    return told + "\n\n" + _table(("", "Tokens"), rows)


def _documents(files: Sequence[Mapping[str, Any]]) -> str:
    most = sorted(files, key=lambda f: (-f["accepted"], f["display_name"]))
    rows = [
        (
            f["display_name"],
            f"{f['accepted']:,}",
            f["split"].removeprefix("SPLIT_").replace("UNSPECIFIED", "both or none"),
        )
        for f in most[:ROWS]
    ]
    if len(most) > ROWS:
        rows.append((f"{len(most) - ROWS} others", f"{sum(f['accepted'] for f in most[ROWS:]):,}", ""))
    return _table(("Document", "Accepted", "Side"), rows)


def _named(title: str, counts: Sequence[Mapping[str, Any]]) -> str:
    return _table((title, "Accepted"), [(c["name"] or "not known", f"{c['count']:,}") for c in counts])


def _scores(scores: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        (name, *(f"{spread[figure]:.3g}" for figure in ("min", "mean", "p50", "max")))
        for name, spread in scores.items()
    ]
    return _table(("Score of accepted examples", "Min", "Mean", "Median", "Max"), rows) if rows else ""


def _judged(counts: Sequence[Mapping[str, Any]]) -> str:
    rows = [(c["name"], f"{c['count']:,}") for c in counts]
    return _table(("Judge's score", "Examples, dropped ones too"), rows) if rows else ""


def _flags(flags: Mapping[str, int]) -> str:
    rows = [(name, f"{int(count):,}") for name, count in sorted(flags.items())]
    return _table(("What is remarkable", "Accepted"), rows) if rows else ""


def _versions(versions: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            str(v["version"]),
            f"{v['train_examples']:,}",
            f"{v['eval_examples']:,}",
            f"{v['recall_examples']:,}",
            ", ".join(word for word in ("approved_only", "erased") if v.get(word)).replace("_", " "),
            v["artifact"]["sha256"],
        )
        for v in versions
    ]
    return _table(("Version", "Train", "Held out", "Recall", "", "SHA-256"), rows) if rows else "None is frozen yet."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_row(heads), _row(["---"] * len(heads)), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in cells) + " |"
