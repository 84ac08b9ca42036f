"""Each format in each encoding: out of the service, in again, and frozen with the same content."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.datasets import balanced, dataset_service, state
from tests.fakes.transfers import ENCODINGS, FORMATS, exported, frozen, imported, lines

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALL = {"type": "function", "id": "call_1", "function": {"name": "gauge", "arguments": '{"at": "noon"}'}}
TOOLS = [{"type": "function", "function": {"name": "gauge", "parameters": {"type": "object", "properties": {}}}}]


def conversation(n: int, tools: bool) -> list[dict[str, Any]]:
    """A conversation of several turns."""
    asked = [{"role": "system", "content": "Be short."}, {"role": "user", "content": f'How "warm",\n{n}?'}]
    between = [{"role": "assistant", "content": "Where?"}, {"role": "user", "content": "Here;\r\nnow."}]
    called = [{"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "72"}]
    return [*asked, *between, *(called if tools else []), {"role": "assistant", "content": f"72 °C, {n}."}]


def source(format: str) -> list[dict[str, Any]]:
    """Rows of the kind that a format carries, in the frozen file's own words."""
    tools = format != "alpaca"
    rows = []
    for n in range(6):
        turns = conversation(n, tools)
        split = "eval" if n == 5 else "train"
        extra = {"tools": TOOLS, "split": split} if tools else {"split": split}
        if format == "preference":
            worse = [{"role": "assistant", "content": f"No idea, {n}."}]
            rows.append({"prompt": turns[:-1], "chosen": turns[-1:], "rejected": worse, **extra})
        elif format == "kto":
            rows.append({"prompt": turns[:-1], "completion": turns[-1:], "label": n % 2 == 0, **extra})
        else:
            rows.append({"messages": turns, **extra})
    return rows


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A service with one dataset for each format."""
    async with dataset_service(tmp_path_factory.mktemp("state")) as (stub, _):
        for format in FORMATS:
            await imported(stub, lines(source(format)), format, split_column="split")
        yield stub


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("format", FORMATS)
async def test_what_goes_out_comes_in_the_same(stub: Any, format: str, encoding: str) -> None:
    """Messages, tools, answers, verdicts and sides: the frozen content is equal."""
    data = await exported(stub, format, format, encoding, with_source=True)
    id = f"{format}-{encoding}"
    dataset = await imported(stub, data, id, filename=f"x.{encoding}", split_column="split")

    assert (state(dataset), balanced(dataset)) == ("SUCCEEDED", True)
    assert await frozen(stub, id) == await frozen(stub, format)
    assert len(await frozen(stub, id)) == 6
