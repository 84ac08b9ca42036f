"""The programs of docs/python.md, of the client's README, and sweep.py of its examples, in processes of their own."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import textwrap
from pathlib import Path

import pytest

from finetuneflow.hardware.v1 import model_pb2
from finetuneflow_client import FineTuneFlow
from tests.fakes.client_server import TOKEN, Serving, served
from tests.fakes.client_world import World
from tests.service.test_client_cli import documents

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "docs" / "python.md", ROOT / "clients" / "python" / "README.md")
EXAMPLES = ROOT / "clients" / "python" / "examples"
PROGRAMS = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, text in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
]


async def run(server: Serving, folder: Path, *words: str) -> str:
    """Run a Python program in a folder and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *words),
        cwd=folder,
        env={**os.environ, "FTF_SERVER": server.address, "FTF_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, messages = await process.communicate()
    assert process.returncode == 0, messages.decode()
    return out.decode()


@pytest.mark.parametrize("text", PROGRAMS)
async def test_a_program_of_the_page_runs(text: str, tmp_path: Path) -> None:
    """As it stands there, but for the server's address; what awaits is put into a function."""
    documents(tmp_path).rename(tmp_path / "manuals")
    world = World(models={"models/smollm2": model_pb2.Model(name="models/smollm2")})
    async with served(world) as server:
        program = re.sub(r'"http://127\.0\.0\.1:7400"', "", text)
        if "await " in program:
            program = f"async def main():\n{textwrap.indent(program, '    ')}\nimport asyncio; asyncio.run(main())\n"
        said = await run(server, tmp_path, "-c", program)

    if "download" in text:
        assert (tmp_path / "out" / "model.safetensors").is_file()
        assert "a.md succeeded" in said


async def test_the_sweep_of_the_examples_runs(tmp_path: Path) -> None:
    """A run for each combination, followed at the same time, the best first."""
    world = World(steps=4, models={"models/m": model_pb2.Model(name="models/m")})
    async with served(world) as server:
        async with FineTuneFlow.connect(server.address, TOKEN) as ftf:
            await (await ftf.projects.create("p")).generate("m")
        said = await run(server, tmp_path, str(EXAMPLES / "sweep.py"), "p", "models/m", "--rates", "1e-4", "1e-3")

    ended = [line for line in said.splitlines() if "learning rate" in line]
    assert len(ended) == len(world.runs) == 4
    assert ended == sorted(ended)
    assert {line.split(":")[0] for line in said.splitlines() if "step 4/" in line} == {
        f"sweep-{n}" for n in range(1, 5)
    }
