"""The frozen file of a dataset version: JSON Lines of messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.dataset.core.judging import SCORE

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_WHERE_SET = ("reasoning", "language", "persona", "question_type")


def line(example: Mapping[str, Any], system_prompt: str, include_reasoning: bool = False) -> str:
    """Return one example's line, without its end; the same example gives the same line.

    Form: {"id", "split": "TRAIN" | "EVAL" | "RECALL", "messages": [{"role", "content"}], "task_type", "source": {…}};
    where there is such a thing also "reasoning", "language", "persona", "question_type", "tools", "chosen" and
    "rejected", "label", "answer": how many messages at the end are the answer, "raw": the last message is raw text.

    Args:
        include_reasoning: whether the reasoning also stands before the last answer, in <think> tags.
    """
    messages = conversation(example, system_prompt)
    reasoning = example.get("reasoning", "")
    if include_reasoning and reasoning:
        last = messages[-1]
        messages[-1] = {**last, "content": f"<think>\n{reasoning}\n</think>\n\n{last['content']}"}
    row = {
        **{name: example[name] for name in _WHERE_SET if example.get(name)},
        "task_type": example.get("task_type") or example["prompt_version"].partition("/")[0],
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
            **({"pages": example["pages"]} if example.get("pages") else {}),
            "prompt_version": example["prompt_version"],
            "llm": example["llm"],
            **({"judge": example["scores"][SCORE]} if SCORE in example.get("scores", {}) else {}),
            **example.get("imported", {}),
        },
        **_more(example, messages),
    }
    return _ENCODER.encode(row)


def conversation(example: Mapping[str, Any], system_prompt: str) -> list[dict[str, Any]]:
    """Return an example's messages; its prompt and response, which people edit, stand where they were."""
    messages = [dict(m) for m in example.get("messages") or ()]
    if not messages:
        messages = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
    next(m for m in messages if m["role"] == "user")["content"] = example["prompt"]
    next(m for m in reversed(messages) if m["role"] == "assistant")["content"] = example["response"]
    if system_prompt and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system_prompt})
    return messages


def _more(example: Mapping[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what imported examples may say beside their conversation."""
    found: dict[str, Any] = {}
    if example.get("tools"):
        found["tools"] = json.loads(example["tools"])
    if example.get("rejected"):
        found["chosen"], found["rejected"] = messages[-example.get("answer", 1) :], example["rejected"]
    elif example.get("answer", 1) != 1:
        found["answer"] = example["answer"]
    if "label" in example:
        found["label"] = example["label"]
    if example.get("raw"):
        found["raw"] = True
    return found
