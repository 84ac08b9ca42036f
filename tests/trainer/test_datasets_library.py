"""What is exported is what `datasets.load_dataset` reads, with the features that TRL and others expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.dataset.core.formats.record import Record
from services.dataset.exporting import Wish, build

MESSAGES = {"role": "string", "content": "string"}
CALL = {"type": "function", "id": "call_1", "function": {"name": "gauge", "arguments": '{"at": "noon"}'}}
TOOLS = ({"type": "function", "function": {"name": "gauge", "parameters": {"type": "object"}}},)
ASKED = ({"role": "system", "content": "Be short."}, {"role": "user", "content": 'How "warm",\nthen?'})
ANSWER = {"role": "assistant", "content": "72; no more."}
WORSE = {"role": "assistant", "content": "No idea."}
FEATURES: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "string", "input": "string", "output": "string", "system": "string"},
    "sharegpt": {"conversations": [{"from": "string", "value": "string"}]},
    "messages": {"messages": [MESSAGES]},
    "prompt-completion": {"prompt": [MESSAGES], "completion": [MESSAGES]},
    "preference": {"prompt": [MESSAGES], "chosen": [MESSAGES], "rejected": [MESSAGES]},
    "kto": {"prompt": [MESSAGES], "completion": [MESSAGES], "label": "bool"},
}


def record(format: str, n: int) -> Record:
    """A record that a format can carry."""
    rejected = (WORSE,) if format == "preference" else ()
    return Record((*ASKED, ANSWER), (), 1, rejected, n % 2 == 0 if format == "kto" else None)


def loaded(folder: Path, records: list[Record], wish: Wish) -> Any:
    """Export records and load the file with the library, as its users do."""
    import datasets

    path = build(lambda: records, folder, wish).path
    reader = {"jsonl": "json"}.get(wish.encoding, wish.encoding)
    # pandas, which reads CSV there, otherwise takes an empty cell, and words such as NA, for nothing.
    options = {"keep_default_na": False} if reader == "csv" else {}
    return datasets.load_dataset(
        reader, data_files=str(path), split="train", cache_dir=str(folder / "cache"), **options
    )


def plain(feature: Any) -> Any:
    """Return a feature in plain words: "string", [..] for lists, {..} for structs."""
    if isinstance(feature, dict):
        return {name: plain(value) for name, value in feature.items()}
    inner = getattr(feature, "feature", None)
    return [plain(inner)] if inner is not None else feature.dtype


@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
@pytest.mark.parametrize("format", FEATURES)
def test_nested_features_are_as_expected(tmp_path: Path, format: str, encoding: str) -> None:
    """Lists of messages are lists of structs, a label is a bool, and the texts are as they were."""
    found = loaded(tmp_path, [record(format, n) for n in range(4)], Wish(format, encoding))
    (first, *_) = found.to_list()

    assert plain(dict(found.features)) == FEATURES[format]
    assert len(found) == 4
    assert 'How "warm",\nthen?' in str(first.values()).replace("\\n", "\n")


@pytest.mark.parametrize("format", FEATURES)
def test_csv_keeps_texts_and_has_json_where_it_is_nested(tmp_path: Path, format: str) -> None:
    """Line breaks, quotes and empty cells come back as they were; labels are bools."""
    found = loaded(tmp_path, [record(format, n) for n in range(4)], Wish(format, "csv")).to_list()
    nested = [name for name, feature in FEATURES[format].items() if isinstance(feature, list)]
    row = {name: json.loads(value) if name in nested else value for name, value in found[0].items()}

    assert list(row) == list(FEATURES[format])
    if format == "alpaca":
        assert row == {"instruction": ASKED[1]["content"], "input": "", "output": "72; no more.", "system": "Be short."}
    if format == "kto":
        assert [r["label"] for r in found] == [True, False, True, False]
    if format == "messages":
        assert row["messages"] == [*ASKED, ANSWER]


@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
def test_tools_load_beside_rows_without_any(tmp_path: Path, encoding: str) -> None:
    """Rows with calls and rows without are one table; provenance stands in columns of its own."""
    called = (
        *ASKED,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "72"},
        ANSWER,
    )
    with_tools = Record(called, TOOLS, id="e1", split="TRAIN", source={"source_page": 3, "source_evidence": "72"})
    without = Record((*ASKED, ANSWER), id="e2", split="EVAL")
    found = loaded(tmp_path, [without, with_tools], Wish("messages", encoding, with_source=True)).to_list()

    assert [row["id"] for row in found] == ["e2", "e1"]
    assert found[1]["messages"][2]["tool_calls"][0]["function"] == CALL["function"]
    assert found[0]["tools"] is None
    assert "gauge" in str(found[1]["tools"])
    assert found[1]["source_page"] == 3
