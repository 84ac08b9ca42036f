"""The programs of clients/python/examples as users run them, against `ftf up` with a tiny model and a scripted LLM.

sweep.py, which would train for a minute, is run by tests/service/test_client_page.py.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.llm_server import LlmServer, good
from tests.fakes.tiny_model import tiny_model
from tests.pipeline.test_pipeline import SAMPLES, Machine

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = Path(__file__).parents[2] / "clients" / "python" / "examples"
# A notebook's cells in order, as IPython runs them: what a cell ends with is shown.
NOTEBOOK = """
import ast, json, sys
scope = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        tree = ast.parse("".join(cell["source"]))
        last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), scope)
        shown = eval(compile(last, "cell", "eval"), scope) if last else None
        print(shown._repr_html_() if hasattr(shown, "_repr_html_") else shown)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    """One server for all of them: each goes on with what those before it made."""
    folder = tmp_path_factory.mktemp("examples")
    llm = LlmServer(good)
    await llm.start()
    made = Machine(folder / "state", tiny_model(folder / "tiny"), llm)
    await made.up()
    yield made
    await made.ftf("down")
    await made.end(signal.SIGKILL)
    await llm.stop()


async def run(machine: Machine, *words: str) -> str:
    """Run a Python program and return what it prints; whatever it fails of is the test's failure."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *words),
        env=machine.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(100):
            out, messages = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out.decode(), messages.decode())
    return out.decode()


async def test_the_whole_flow(machine: Machine, tmp_path: Path) -> None:
    """From documents to weights on disk."""
    documents = tmp_path / "manuals"
    documents.mkdir()
    for name in ("safety-rules.md", "wren-balance-guide.txt"):
        (documents / name).write_bytes((SAMPLES / name).read_bytes())
    llm = ("--llm-url", machine.llm.url, "--llm-model", "fake-model")
    quick = ("--max-examples", "6", "--max-steps", "2", "--format", "adapter", "--output", str(tmp_path / "out"))
    said = await run(machine, str(EXAMPLES / "whole_flow.py"), str(documents), str(machine.model), *llm, *quick)

    assert "safety-rules.md: succeeded" in said
    assert "step 2/2: loss" in said
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


async def test_the_review_notebook(machine: Machine) -> None:
    """Its cells run in order, and show the evidence and the curve."""
    said = await run(machine, "-c", NOTEBOOK, str(EXAMPLES / "review.ipynb"))

    assert "<mark>" in said
    assert "approved" in said
    assert "<polyline" in said


async def test_a_task_type_of_ones_own(machine: Machine) -> None:
    """Its template is made, looked at and used."""
    llm = ("--llm-url", machine.llm.url, "--llm-model", "fake-model")
    said = await run(machine, str(EXAMPLES / "task_type.py"), "handbook", *llm, "--max-examples", "4")

    assert "made promptTemplates/warning-sign/versions/1" in said
    assert "accepted: " in said
    assert said.rstrip().endswith("version 1")


async def test_bring_your_own_dataset(machine: Machine, tmp_path: Path) -> None:
    """Columns are named as they are, and rows that cannot be used are told."""
    rows = [{"question": f"What is valve {n}?", "answer": f"Valve {n} opens at {n} bar."} for n in range(1, 11)]
    lines = [*map(json.dumps, rows), '{"question": "", "answer": "x"}']
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    columns = ("--map", "prompt=question", "--map", "response=answer")
    program = (str(EXAMPLES / "own_dataset.py"), str(tmp_path / "own.jsonl"), str(machine.model), *columns)
    said = await run(machine, *program, "--check")
    trained = await run(machine, *program, "--project", "trained", "--max-steps", "2")

    assert "row 11 left out" in said
    assert "tokens have a loss" in said
    assert "step 2/2: loss" in trained
    assert "SUCCEEDED" in trained.upper()
