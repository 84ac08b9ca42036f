"""Labels of a dataset's training examples, counted and shown."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.chat.document import read_chat
from services.common.chat.encode import IGNORED, Encoded, Encoder, measure
from services.common.chat.rows import EVAL, RECALL, TRAIN, Row, row_of
from services.common.errors import NotReady

MOST = 1_000
"""Examples that are looked at: a share of one in ten is then known to within one in a hundred."""


@dataclass(frozen=True)
class Wanted:
    """What is to be looked at.

    Args:
        dataset, tokenizer, chat: files; chat is the model's chat document.
        max_length, assistant_only, completion_only: see Encoder.
        shown: examples whose tokens are shown.
    """

    dataset: str
    tokenizer: str
    chat: str
    max_length: int
    assistant_only: bool
    completion_only: bool
    shown: int


def preview(wanted: Wanted) -> dict[str, Any]:
    """Return a LabelPreview of training/v1/check.proto, as JSON has it.

    Raises:
        InvalidArgument: a line of the dataset is no example.
        NotReady: NO_CHAT_TEMPLATE, CONVERSATION_REFUSED, or NO_ACCEPTED_EXAMPLES if there is nothing to train on.
    """
    path = Path(wanted.dataset)
    sides, lines = _sides(path)
    if not lines:
        raise NotReady("The dataset has no example to train on. Generate more.", reason="NO_ACCEPTED_EXAMPLES")
    rows = _read(path, _spread(lines, wanted.shown))
    chat = read_chat(Path(wanted.tokenizer).read_bytes(), Path(wanted.chat).read_bytes())
    encoder = Encoder(chat, rows, wanted.max_length, wanted.assistant_only, wanted.completion_only)
    found = [encoder.show(row) for row in rows]
    encoded, cuts = [one for one, _, _ in found], [cut for _, _, cut in found]
    if rows[0].raw:
        # Raw texts follow each other: nothing of them is cut off.
        encoded, cuts, shown = encoder.encode_all(rows), [0] * len(rows), encoded
    elif rows[0].objective != "SFT":
        encoded = shown = encoder.encode_all(rows)
    else:
        shown = encoded
    mask = measure(encoded)
    return {
        "examples": [
            _shown(encoder, one, texts, cut)
            for one, (_, texts, _), cut in zip(shown[: wanted.shown], found, cuts, strict=False)
        ],
        "train_examples": len(lines),
        "checked_examples": len(rows),
        "empty_examples": mask.examples - mask.kept,
        "truncated_examples": mask.truncated,
        "tokens": sum(len(part.input_ids) for example in encoded for part in example.sequences),
        "supervised_tokens": mask.supervised_tokens,
        "truncated_tokens": sum(cuts),
        "longest_tokens": max(len(one.input_ids) + cut for one, _, cut in found),
        "marked_by": encoder.marked_by,
        "eval_examples": sides[EVAL] + sides[RECALL],
        "recall_examples": sides[RECALL],
    }


def _sides(path: Path) -> tuple[Counter[str], list[tuple[int, int]]]:
    """Return how many lines are on each side, and number and place of those to train on."""
    sides: Counter[str] = Counter()
    lines, place = list[tuple[int, int]](), 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                side = row_of(number, line.decode("utf-8")).split
                sides[side] += 1
                if side == TRAIN:
                    lines.append((number, place))
            place += len(line)
    return sides, lines


def _spread(lines: list[tuple[int, int]], first: int) -> list[tuple[int, int]]:
    """Return the first lines and others, evenly spread, at most MOST in all."""
    rest = lines[first:]
    room = max(MOST - first, 0)
    step = max(1.0, len(rest) / room) if room else 1.0
    return lines[:first] + [rest[int(n * step)] for n in range(min(room, len(rest)))]


def _read(path: Path, lines: list[tuple[int, int]]) -> list[Row]:
    rows = []
    with path.open("rb") as file:
        for number, place in lines:
            file.seek(place)
            rows.append(row_of(number, file.readline().decode("utf-8")))
    return rows


def _shown(encoder: Encoder, example: Encoded, texts: list[str], cut: int) -> dict[str, Any]:
    row, worse = example.row, example.worse
    return {
        "id": row.id,
        "tokens": _tokens(example, texts),
        "truncated_tokens": cut,
        "rejected_tokens": _tokens(worse, encoder.worse_texts(row)) if worse else [],
    }


def _tokens(example: Encoded, texts: list[str]) -> list[dict[str, Any]]:
    tokens = zip(example.input_ids, texts, example.labels, strict=True)
    return [{"id": token, "text": text, "trained": label != IGNORED} for token, text, label in tokens]


def write(wanted: Wanted, out: Path) -> None:
    """Write a preview into a file; see preview."""
    out.write_text(json.dumps(preview(wanted)), encoding="utf-8")
