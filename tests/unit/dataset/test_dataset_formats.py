"""Formats: what goes out comes in again the same, and what a format cannot carry is left out and counted."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.errors import InvalidArgument, NotReady
from services.dataset.core.formats import decoding, frozenrow
from services.dataset.core.formats.catalog import FORMATS, detect
from services.dataset.core.formats.incoming import Incoming, Problem, Terms
from services.dataset.core.formats.record import Record, Refused
from services.dataset.core.formats.turns import raw
from services.dataset.core.frozen import line
from services.dataset.exporting import ENCODINGS, Wish, build
from services.dataset.reader.__main__ import read

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
ARGUMENTS = st.dictionaries(st.text("abc", min_size=1), st.integers() | TEXT, max_size=3)


@st.composite
def conversations(draw: st.DrawFn, tools: bool) -> list[dict[str, Any]]:
    """Conversations as the service keeps them: an answer last, tool calls with ids by their order."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(TEXT)})
    calls = 0
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXT)})
        if tools and draw(st.booleans()):
            calls += 1
            function = {"name": "look_up", "arguments": json.dumps(draw(ARGUMENTS), ensure_ascii=False)}
            call = {"type": "function", "id": f"call_{calls}", "function": function}
            messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            messages.append({"role": "tool", "content": draw(TEXT)})
        messages.append({"role": "assistant", "content": draw(TEXT)})
    return messages


@st.composite
def records(draw: st.DrawFn, format: str) -> Record:
    """What a format can carry."""
    if format == "text":
        return Record(raw(draw(TEXT)), raw=True)
    tools = format != "alpaca" and draw(st.booleans())
    messages = tuple(draw(conversations(tools)))
    offered = ({"type": "function", "function": {"name": "look_up", "parameters": draw(ARGUMENTS)}},) if tools else ()
    rejected: tuple[dict[str, Any], ...] = ()
    if format == "preference":
        worse = draw(TEXT.filter(lambda text: text != messages[-1]["content"]))
        rejected = ({"role": "assistant", "content": worse},)
    label = draw(st.booleans()) if format == "kto" else None
    return Record(messages, offered, 1, rejected, label)


def told(record: Record) -> dict[str, Any]:
    """What a record says, whatever its id and provenance."""
    return frozenrow.fields(record)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_row_says_what_its_record_says(format: str, data: st.DataObject) -> None:
    """Written and read again, through JSON, any record that the format can carry is the same."""
    record = data.draw(records(format))
    row = json.loads(json.dumps(FORMATS[format].write(record)))

    assert told(FORMATS[format].read(row)) == told(record)
    assert detect(row) == format


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("format", FORMATS)
def test_a_file_says_what_its_records_say(tmp_path: Path, format: str, encoding: str) -> None:
    """Every format in every encoding, through the program that reads strangers' files."""
    texts = ("plain", 'a "quoted", one;\nof\r\ntwo lines', " spaces ", "[{", "=1+1", "NA", "日本語 🙂", "a\u2028b\x0b")
    made = []
    for n, text in enumerate(texts):
        called = {"type": "function", "id": "call_1", "function": {"name": "f", "arguments": '{"a": [1, null]}'}}
        turns = [{"role": "system", "content": f"{n}"}, {"role": "user", "content": text}]
        if n % 2 and format != "alpaca":
            turns += [{"role": "assistant", "content": "", "tool_calls": [called]}, {"role": "tool", "content": text}]
        turns.append({"role": "assistant", "content": f"{text} {n}"})
        offered = ({"type": "function", "function": {"name": "f"}},) if n % 2 and format != "alpaca" else ()
        worse = ({"role": "assistant", "content": text},) if format == "preference" else ()
        if format == "text":
            made.append(Record(raw(f"{text} {n}"), split="EVAL", id=f"e{n}", raw=True))
            continue
        made.append(Record(tuple(turns), offered, 1, worse, bool(n % 2) if format == "kto" else None, "EVAL", f"e{n}"))
    exported = build(lambda: made, tmp_path, Wish(format, encoding, with_source=True))
    found, rows = reading(tmp_path, exported.path.read_bytes(), f"x.{encoding}", split_column="split")

    assert found["dropped"] == {}
    assert found["ignored"] == ["id"]
    assert [said(row) for row in rows] == [{**told(record), "split": "EVAL"} for record in made]


def reading(folder: Path, data: bytes, filename: str = "rows.jsonl", **terms: Any) -> tuple[dict[str, Any], list[Any]]:
    """Read a file as the confined program does; returns its answer and the good rows."""
    (folder / "source").write_bytes(data)
    job = {"filename": filename, "format": "", "encoding": "", "mapping": {}, "split_column": "", **terms}
    job.update(eval_fraction=0.0, recall_fraction=0.0)
    found = read({**job, **{name: str(folder / name) for name in ("source", "rows", "sides", "report", "told")}})
    rows = [json.loads(line) for line in (folder / "rows").read_bytes().splitlines()]
    return found, rows


def said(row: dict[str, Any]) -> dict[str, Any]:
    """What a good row says, in the words of a frozen line."""
    none = dict.fromkeys(
        ("file", "file_name", "chunk", "evidence", "evidence_span", "place", "prompt_version", "llm"), ""
    )
    frozen = json.loads(line({**none, **row, "_id": "e", "split": row["given_split"]}, ""))
    return {key: frozen[key] for key in frozen if key not in ("id", "source", "task_type")}


ASKED = {"role": "user", "content": "Q"}
SAID = (ASKED, {"role": "assistant", "content": "A"})


@pytest.mark.parametrize(
    ("format", "record", "reason"),
    [
        ("alpaca", Record(SAID, ({"name": "f"},)), "HAS_TOOLS"),
        ("alpaca", Record((ASKED, *SAID)), "NOT_IN_TURNS"),
        ("messages", Record(SAID, label=False), "UNWANTED_ANSWER"),
        ("preference", Record(SAID), "NO_REJECTED_ANSWER"),
        ("kto", Record(SAID), "NOT_LABELLED"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_carry_is_left_out_with_its_reason(
    tmp_path: Path, format: str, record: Record, reason: str
) -> None:
    """Never bent until it fits; a file without any row is refused, and the message counts."""
    with pytest.raises(Refused) as left:
        FORMATS[format].write(record)
    with pytest.raises(NotReady) as nothing:
        build(lambda: [record], tmp_path, Wish(format))

    assert left.value.reason == reason
    assert f"{reason} 1" in nothing.value.message


BAD: dict[str, tuple[Any, str]] = {
    "deep": ('{"prompt": ' + "[" * 100_000 + "]" * 100_000 + "}", "TOO_DEEP"),
    "rather deep": ('{"prompt": ' + "[" * 40 + "]" * 40 + "}", "TOO_DEEP"),
    "not a number": ('{"prompt": NaN}', "INVALID_JSON"),
    "a very long number": ('{"prompt": ' + "9" * 5_000 + "}", "INVALID_JSON"),
    "a large row": (json.dumps({"prompt": "x" * (1 << 20), "completion": "y"}), "ROW_TOO_LARGE"),
    "a row that would not be stored": (json.dumps({"prompt": "x" * 950_000, "completion": "y"}), "ROW_TOO_LARGE"),
    "half a character": ('{"prompt": "\\ud800", "completion": "y"}', "BAD_CHARACTER"),
    "nul": ('{"prompt": "a\\u0000", "completion": "y"}', "BAD_CHARACTER"),
    "no object": ("[]", "NOT_AN_OBJECT"),
    "many columns": (json.dumps({f"c{n}": 1 for n in range(2_000)}), "WRONG_COLUMNS"),
    "an image": (
        {"prompt": [{"role": "user", "content": [{"type": "image_url"}]}], "completion": "y"},
        "NOT_TEXT",
    ),
    "no answer": ({"prompt": "x", "completion": [{"role": "user", "content": "y"}]}, "NO_ANSWER"),
    "a role of its own": ({"prompt": [{"role": "root", "content": "x"}], "completion": "y"}, "UNKNOWN_ROLE"),
    "many messages": ({"prompt": [{"role": "user", "content": "x"}] * 1_001, "completion": "y"}, "WRONG_LENGTH"),
    "a late system": (
        {"prompt": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}], "completion": "y"},
        "SYSTEM_NOT_FIRST",
    ),
    "tools that are none": ({"prompt": "x", "completion": "y", "tools": "{"}, "BAD_TOOLS"),
    "tools with half a character": ('{"prompt": "x", "completion": "y", "tools": [{"a": "\\udc80"}]}', "BAD_CHARACTER"),
    "a call of nothing": (
        {"prompt": "x", "completion": [{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}]},
        "BAD_TOOL_CALL",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_told_and_the_next_one_read(tmp_path: Path, name: str) -> None:
    """Whatever a row is made of: one reason, and its neighbours are as they were."""
    row, reason = BAD[name]
    good = json.dumps({"prompt": "Q", "completion": "A"})
    text = row if isinstance(row, str) else json.dumps(row)
    found, rows = reading(tmp_path, f"{good}\n{text}\n{good.replace('Q', 'R')}\n".encode())

    assert found["dropped"] == {reason: 1}
    assert [p["row"] for p in found["problems"]] == [2]
    assert [row["prompt"] for row in rows] == ["Q", "R"]
    assert (found["rows"], found["good"]) == (3, 2)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200) | TEXT.map(str.encode))
def test_no_bytes_break_the_reading_of_lines(data: bytes) -> None:
    """Anything at all is rows or problems, and the sums hold."""
    incoming = Incoming(Terms("alpaca"))
    found = list(incoming.read(decoding.json_lines(io.BytesIO(data))))

    assert incoming.rows == len(found) == incoming.good + sum(incoming.dropped.values())
    assert Counter(p.reason for p in found if isinstance(p, Problem)) == incoming.dropped


def test_a_json_list_is_read_element_by_element(tmp_path: Path) -> None:
    """As Alpaca is often given; also in one line, and with a mark at its start."""
    data = [{"instruction": f"Q{n}", "output": "A" * 40_000} for n in range(5)]
    found, rows = reading(tmp_path, b"\xef\xbb\xbf" + json.dumps(data).encode(), "x.json")
    pretty, _ = reading(tmp_path, json.dumps(data, indent=2).encode(), "x.json")

    assert (found["format"], found["good"], [r["row"] for r in rows]) == ("alpaca", 5, [1, 2, 3, 4, 5])
    assert pretty == found


def test_csv_is_told_by_its_separator_and_its_cells_counted(tmp_path: Path) -> None:
    """Semicolons and tabs too; a row with a cell too many is told."""
    found, rows = reading(tmp_path, b"prompt;completion\nQ;A\nQ;A;B\n", "x.csv")
    with_tabs, _ = reading(tmp_path, b"prompt\tcompletion\nQ\tA\n", "x.tsv")

    assert [p["reason"] for p in found["problems"]] == ["WRONG_COLUMNS"]
    assert (len(rows), with_tabs["good"]) == (1, 1)


def test_more_rows_than_may_be_are_refused() -> None:
    """The file is refused as a whole, bad rows counted too: what a process holds of each has a bound."""
    rows = [(n, {"prompt": f"{n}", "completion": "a"} if n % 2 else {"prompt": ""}) for n in range(1, 6)]

    assert len(list(Incoming(Terms(), most_rows=5).read(iter(rows)))) == 5
    with pytest.raises(InvalidArgument, match="more than 4 rows"):
        list(Incoming(Terms(), most_rows=4).read(iter(rows)))
