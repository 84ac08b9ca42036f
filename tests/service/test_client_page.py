"""The programs of docs/python.md and of the client's README do what they say, in processes of their own."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import textwrap
from pathlib import Path

import pytest

from finetuneflow.hardware.v1 import model_pb2
from tests.fakes.client_server import TOKEN, served
from tests.fakes.client_world import World
from tests.service.test_client_cli import documents

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "docs" / "python.md", ROOT / "clients" / "python" / "README.md")
PROGRAMS = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, text in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.mark.parametrize("text", PROGRAMS)
async def test_a_program_of_the_page_runs(text: str, tmp_path: Path) -> None:
    """As it stands there, but for the server's address; what awaits is put into a function."""
    documents(tmp_path).rename(tmp_path / "manuals")
    world = World(models={"models/smollm2": model_pb2.Model(name="models/smollm2")})
    async with served(world) as server:
        program = re.sub(r'"http://127\.0\.0\.1:7400"', "", text)
        if "await " in program:
            program = f"async def main():\n{textwrap.indent(program, '    ')}\nimport asyncio; asyncio.run(main())\n"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            cwd=tmp_path,
            env={**os.environ, "FTF_SERVER": server.address, "FTF_TOKEN": TOKEN},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, messages = await process.communicate()

    assert process.returncode == 0, messages.decode()
    if "download" in text:
        assert (tmp_path / "out" / "model.safetensors").is_file()
        assert "a.md succeeded" in out.decode()
