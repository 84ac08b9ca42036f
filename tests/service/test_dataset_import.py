"""Datasets of one's own, over gRPC: each format in, bad rows told, nothing half-done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from finetuneflow.dataset.v1 import dataset_pb2, example_pb2, ledger_pb2, review_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes.datasets import NAME, PROJECT, balanced, dataset_service, drops, ended, examples, reason, rows, state
from tests.fakes.transfers import begun, exported, frozen, imported, lines, report
from tests.service.test_dataset_pages import pages

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = {"role": "user", "content": "How warm?\nIn °C."}
ANSWERED = {"role": "assistant", "content": 'It is "72", at most.'}
TOOLS = [{"type": "function", "function": {"name": "warmth", "parameters": {"type": "object", "$defs": {}}}}]
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "id": "call_1", "function": {"name": "warmth", "arguments": '{"at": 1}'}}],
}
TOLD = {"role": "tool", "content": "72", "tool_call_id": "call_1"}
ONE = [ASKED, ANSWERED]
FORMATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "alpaca": ({"instruction": "How warm?", "input": "In °C.", "output": "72"}, {}),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}], "system": "Be short."},
        {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"},
                      {"role": "assistant", "content": "Ho"}]},
    ),
    "messages": (
        {"messages": [ASKED, CALLED, TOLD, ANSWERED], "tools": TOOLS},
        {"messages": [ASKED, CALLED, TOLD, ANSWERED], "tools": TOOLS},
    ),
    "prompt-completion": ({"prompt": ASKED["content"], "completion": ANSWERED["content"]}, {"messages": ONE}),
    "preference": (
        {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": "I do not know."},
        {"messages": ONE, "chosen": [ANSWERED], "rejected": [{"role": "assistant", "content": "I do not know."}]},
    ),
    "kto": ({"prompt": ASKED["content"], "completion": [ANSWERED], "label": False}, {"messages": ONE, "label": False}),
    "text": (
        {"text": "It rains."},
        {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "It rains."}], "raw": True},
    ),
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A service without any LLM endpoint."""
    async with dataset_service(tmp_path_factory.mktemp("state")) as (stub, _):
        yield stub


@pytest.mark.parametrize("format", FORMATS)
async def test_each_format_becomes_a_dataset_by_its_columns(stub: Any, format: str) -> None:
    """It is told by its columns, frozen with all it says, and names the row that it came from."""
    row, said = FORMATS[format]
    dataset = await imported(stub, lines([row]), format)
    (line,) = await rows(stub, dataset.name)
    (example,) = await examples(stub, name=dataset.name)

    assert state(dataset) == "SUCCEEDED"
    assert dataset.imported.format == dataset_pb2.DatasetFormat.Value(
        "DATASET_FORMAT_" + format.upper().replace("-", "_")
    )
    assert {key: line.get(key) for key in said} == said
    assert (line["source"]["row"], line["source"]["sha256"]) == (1, dataset.imported.sha256)
    assert (example.imported.row, example.imported.filename) == (1, "rows.jsonl")
    assert balanced(dataset)


async def test_bad_rows_are_told_and_good_ones_taken(stub: Any) -> None:
    """Each with its number, its column, the reason and the remedy; the sums hold; all of them can be fetched."""
    good = {"prompt": "A?", "completion": "B."}
    bad = [{"prompt": "A?"}, {"prompt": " ", "completion": "B."}, {"prompt": 3, "completion": "B."}, [1]]
    data = lines([good, *bad, good]) + b'{"prompt": "\xff"}\n{"prompt": \n\n{"prompt": "\\u0000", "completion": "x"}\n'
    dataset = await imported(stub, data, "some-bad")
    found = await report(stub, "some-bad")

    assert state(dataset) == "SUCCEEDED"
    assert [(p["row"], p["reason"]) for p in found] == [
        (2, "MISSING_FIELD"),
        (3, "EMPTY_FIELD"),
        (4, "WRONG_TYPE"),
        (5, "NOT_AN_OBJECT"),
        (6, "DUPLICATE"),
        (7, "NOT_UTF8"),
        (8, "INVALID_JSON"),
        (10, "BAD_CHARACTER"),
    ]
    assert [p.row for p in dataset.imported.problems] == [p["row"] for p in found]
    assert found[0]["column"] == "completion"
    assert balanced(dataset)
    assert sum(drops(dataset).values()) == len(found)
    assert len(await examples(stub, name=dataset.name)) == 1


async def test_strict_takes_all_rows_or_none(stub: Any) -> None:
    """One bad row refuses the file; the report says which, and no example is left behind."""
    data = lines([{"prompt": "A?", "completion": "B."}, {"prompt": "A?"}])
    dataset = await imported(stub, data, "strict", strict=True)

    assert (state(dataset), reason(dataset)) == ("FAILED", "IMPORT_REFUSED")
    assert [p["row"] for p in await report(stub, "strict")] == [2]
    assert await examples(stub, "*", dataset.name) == []
    assert not dataset.versions


async def test_columns_of_other_names_are_mapped(stub: Any) -> None:
    """As on the command line: prompt=question, response=answer. What is not used is named."""
    data = b'question,answer,topic\n"Who, and\nwhen?",Nobody,x\n'
    mapping = {"prompt": "question", "response": "answer"}
    dataset = await imported(stub, data, "mapped", filename="q.csv", mapping=mapping)

    assert [row["messages"] for row in await frozen(stub, "mapped")] == [
        [{"role": "user", "content": "Who, and\nwhen?"}, {"role": "assistant", "content": "Nobody"}]
    ]
    assert list(dataset.imported.ignored_columns) == ["topic"]


async def test_columns_that_tell_no_format_are_refused(stub: Any) -> None:
    """The message names them and shows how to map them."""
    dataset = await imported(stub, lines([{"q": "A?", "a": "B."}]), "unknown")

    assert (state(dataset), reason(dataset)) == ("FAILED", "IMPORT_FORMAT_UNKNOWN")
    assert "a, q" in dataset.work.error.message
    assert "--map" in dataset.work.error.message


async def test_rows_go_to_the_side_that_they_name(stub: Any) -> None:
    """A column says train or test; without one, rows are held out by their prompt, all of one prompt together."""
    wanted = [{"prompt": f"Q{n}?", "completion": f"A{n}", "part": side} for n, side in enumerate(("train", "test"))]
    await imported(stub, lines(wanted), "named", split_column="part")
    many = [{"prompt": f"Q{n % 40}?", "completion": f"A{n}"} for n in range(80)]
    dataset = await imported(stub, lines(many), "held-out", spec={"eval_fraction": 0.25})
    sides: dict[str, set[str]] = {}
    for row in await frozen(stub, "held-out"):
        sides.setdefault(row["messages"][0]["content"], set()).add(row["split"])

    assert sorted((r["messages"][0]["content"], r["split"]) for r in await frozen(stub, "named")) == [
        ("Q0?", "TRAIN"),
        ("Q1?", "EVAL"),
    ]
    assert all(len(found) == 1 for found in sides.values())
    assert 0 < dataset.versions[0].eval_examples < 40


async def test_a_system_prompt_stands_before_conversations_without_one(stub: Any) -> None:
    """A row's own is kept."""
    data = lines([{"messages": ONE}, {"messages": [{"role": "system", "content": "Own."}, *ONE]}])
    await imported(stub, data, "prompted", spec={"system_prompt": "Given."})

    assert {row["messages"][0]["content"] for row in await frozen(stub, "prompted")} == {"Own.", "Given."}


async def test_a_repeat_gives_the_same_dataset_and_other_bytes_are_refused(stub: Any) -> None:
    """A request that is sent again makes nothing twice."""
    data = lines([{"prompt": "A?", "completion": "B."}])
    first = await imported(stub, data, "", request_id="r1")
    again = await begun(stub, data, "", request_id="r1")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await begun(stub, data + data, "", request_id="r1")

    assert (again.name, again.meta.uid) == (first.name, first.meta.uid)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_import_is_not_resumed_paused_or_frozen_when_it_failed(stub: Any) -> None:
    """No LLM is asked for it, and half of a file is no dataset."""
    await imported(stub, b"nothing", "failed")
    calls = [
        stub.ResumeDataset(pb.ResumeDatasetRequest(name=f"{PROJECT}/datasets/failed")),
        stub.PauseDataset(pb.PauseDatasetRequest(name=f"{PROJECT}/datasets/failed")),
        stub.FreezeDataset(pb.FreezeDatasetRequest(name=f"{PROJECT}/datasets/failed")),
    ]
    codes = []
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        codes.append(caught.value.code())

    assert codes == [grpc.StatusCode.FAILED_PRECONDITION] * 3


async def test_an_imported_example_is_edited_and_frozen_again(stub: Any) -> None:
    """The edited answer stands in its conversation, in a new version."""
    await imported(stub, lines([{"messages": [*ONE, ASKED, ANSWERED]}]), "edited")
    (example,) = await examples(stub, name=f"{PROJECT}/datasets/edited")
    example.response = "Other."
    await stub.UpdateExample(pb.UpdateExampleRequest(example=example))
    await stub.FreezeDataset(pb.FreezeDatasetRequest(name=f"{PROJECT}/datasets/edited"))

    assert [m["content"] for m in (await frozen(stub, "edited"))[0]["messages"]] == [
        ASKED["content"], ANSWERED["content"], ASKED["content"], "Other.",
    ]  # fmt: skip


async def test_a_deleted_import_leaves_no_file(tmp_path: Path) -> None:
    """The uploaded bytes go with the dataset, and refused ones are never kept."""
    async with dataset_service(tmp_path) as (stub, _):
        await imported(stub, lines([{"prompt": "A?", "completion": "B."}]))
        with pytest.raises(grpc.aio.AioRpcError):
            await begun(stub, b"x", "other", sha256="0" * 64)
        kept = [p for p in tmp_path.rglob("imports/**/*") if p.is_file()]
        await stub.DeleteDataset(pb.DeleteDatasetRequest(name=NAME))
        async with asyncio.timeout(20):
            while [p for p in tmp_path.rglob("imports/**/*") if p.is_file()]:  # noqa: ASYNC110 - a folder tells nobody
                await asyncio.sleep(0.05)

    assert len(kept) == 1


async def test_review_decisions_become_verdicts_and_preferences(stub: Any) -> None:
    """What nobody reviewed is left out and counted; nothing is made up."""
    rows = [{"prompt": f"Q{n // 2}?", "completion": f"A{n}"} for n in range(6)]
    name = (await imported(stub, lines(rows), "reviewed")).name
    by_answer = {e.response: e.name for e in await examples(stub, name=name)}
    for action, answers in ((review_pb2.REVIEW_ACTION_APPROVE, "A0 A2"), (review_pb2.REVIEW_ACTION_REJECT, "A1 A4")):
        chosen = [by_answer[a] for a in answers.split()]
        await stub.ReviewExamples(review_pb2.ReviewExamplesRequest(parent=name, names=chosen, action=action))
    verdicts = [json.loads(x) for x in (await exported(stub, "reviewed", "kto", from_reviews=True)).splitlines()]
    pairs = [json.loads(x) for x in (await exported(stub, "reviewed", "preference", from_reviews=True)).splitlines()]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await exported(stub, "reviewed", "alpaca", from_reviews=True)

    assert {v["completion"][0]["content"]: v["label"] for v in verdicts} == {
        "A0": True, "A2": True, "A1": False, "A4": False,
    }  # fmt: skip
    assert [(p["chosen"][0]["content"], p["rejected"][0]["content"]) for p in pairs] == [("A0", "A1")]
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_the_ledger_of_an_import_names_its_rows(stub: Any) -> None:
    """In = out + dropped from the file's rows to the sides, by reason and row; in the frozen version too."""
    good = [{"prompt": f"Who is number {n}?", "completion": f"Name {n * n}."} for n in range(30)]
    bad = [{"prompt": "A?"}, good[0], [1], good[1]]
    name = (await imported(stub, lines([*good, *bad]), "ledger", spec={"eval_fraction": 0.3})).name
    now = await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=name))
    first = await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=name, version=1))
    doubles = await stub.ListLedgerRows(ledger_pb2.ListLedgerRowsRequest(parent=name, step="examples"))
    request = ledger_pb2.ListLedgerRowsRequest(parent=name, step="rows", page_size=1)
    one_by_one = await pages(stub.ListLedgerRows, request, "rows")
    chosen = await stub.ListLedgerRows(
        ledger_pb2.ListLedgerRowsRequest(parent=name, step="rows", reason="NOT_AN_OBJECT")
    )
    for step, token, word in (("files", "", "The steps are rows, examples, "), ("rows", "YXQ3", "page_token")):
        request = ledger_pb2.ListLedgerRowsRequest(parent=name, step=step, page_token=token)
        with pytest.raises(grpc.aio.AioRpcError, match=word):
            await stub.ListLedgerRows(request)
    found = [(s.step, getattr(s, "in"), s.out, {d.reason: list(d.rows) for d in s.dropped}) for s in now.steps]
    removed = (await examples(stub, name=name))[3].name
    await stub.DeleteExample(pb.DeleteExampleRequest(name=removed))
    await stub.FreezeDataset(pb.FreezeDatasetRequest(name=name))
    again = {s.step: s for s in (await stub.GetLedger(ledger_pb2.GetLedgerRequest(name=name))).steps}

    assert found == [
        ("rows", 34, 32, {"MISSING_FIELD": ["row 31"], "NOT_AN_OBJECT": ["row 33"]}),
        ("examples", 32, 30, {"DUPLICATE": ["row 32", "row 34"]}),
        ("review", 30, 30, {}),
        ("split", 30, 30, {}),
    ]
    assert list(first.steps) == list(now.steps)
    assert {p.name for p in now.steps[-1].parts if p.count} == {"TRAIN", "EVAL"}
    assert [(row.name, row.detail[:33]) for row in doubles.rows] == [
        ("row 32", "The row says the same as row 1. N"),
        ("row 34", "The row says the same as row 2. N"),
    ]
    assert [row.name for row in one_by_one] == ["row 31", "row 33"]
    assert [row.name for row in chosen.rows] == ["row 33"]
    assert (again["review"].out, again["split"].out) == (29, 29)
    assert [d.rows for d in again["review"].dropped] == [[removed]]


async def test_examples_are_not_changed_while_their_file_is_imported(stub: Any) -> None:
    """The first version is what the file says; nobody's word gets lost in it."""
    name = (await begun(stub, lines({"prompt": f"{n}?", "completion": f"{n}."} for n in range(3_000)), "busy")).name
    wanted = example_pb2.Example(name=f"{name}/examples/e-a", response="Other.")
    codes = []
    for call in (
        stub.UpdateExample(pb.UpdateExampleRequest(example=wanted)),
        stub.DeleteExample(pb.DeleteExampleRequest(name=wanted.name)),
        stub.ReviewExamples(review_pb2.ReviewExamplesRequest(parent=name, filter="*", add_tags=["x"])),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        codes.append(caught.value.code())
    await ended(stub, name)

    assert codes == [grpc.StatusCode.FAILED_PRECONDITION] * 3
