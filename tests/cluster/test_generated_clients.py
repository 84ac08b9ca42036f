"""The contract in other languages: generated with buf, compiled, and a small program of it calls a server.

These are the commands of docs/languages.md.
"""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from clients import stubs
from tests.fakes.client_server import TOKEN, served
from tests.service.test_client_cli import world

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", list(stubs.LANGUAGES))
async def test_code_in_another_language_compiles_and_calls_a_server(name: str) -> None:
    """By the plugins that its folder pins; a wrong token is told as the status that it is."""
    if why := stubs.missing(name):
        pytest.skip(f"{name}: {why}")
    await asyncio.to_thread(stubs.make, name)
    async with served(world()) as server:
        good, wrong = [
            await asyncio.to_thread(
                subprocess.run,
                stubs.LANGUAGES[name].program,
                cwd=stubs.HERE / name,
                env={**os.environ, "FTF_SERVER": server.address, "FTF_TOKEN": token},
                capture_output=True,
                text=True,
            )
            for token in (TOKEN, "another")
        ]

    assert good.stdout.splitlines() == ["version  0.1.0", "services ingest", "project  projects/p"]
    assert (good.returncode, wrong.returncode) == (0, 1)
    assert "unauthenticated" in wrong.stderr.lower()
