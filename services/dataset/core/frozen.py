"""The frozen file of a dataset version: JSON Lines of messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def line(example: Mapping[str, Any], system_prompt: str) -> str:
    """Return one example's line, without its end.

    Form: {"id", "split": "TRAIN" | "EVAL" | "RECALL", "messages": [{"role", "content"}], "source": {…}}.
    """
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages += [
        {"role": "user", "content": example["prompt"]},
        {"role": "assistant", "content": example["response"]},
    ]
    row = {
        "id": example["_id"],
        "split": example["split"].removeprefix("SPLIT_"),
        "messages": messages,
        "source": {
            "file": example["file"],
            "file_name": example["file_name"],
            "chunk": example["chunk"],
            "evidence": example["evidence"],
            "evidence_span": example["evidence_span"],
            "place": example["place"],
            "prompt_version": example["prompt_version"],
            "llm": example["llm"],
        },
    }
    return json.dumps(row, ensure_ascii=False, sort_keys=True)


def content(examples: Iterable[Mapping[str, Any]], system_prompt: str) -> bytes:
    """Return the whole file; the same examples give the same bytes, whatever their order."""
    return "".join(sorted(line(e, system_prompt) + "\n" for e in examples)).encode()
