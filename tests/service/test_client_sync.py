"""The blocking front in a program of its own, as users have it, against a real gRPC server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.fakes.client_server import TOKEN, served
from tests.fakes.client_world import World
from tests.service.test_client_cli import documents

PROGRAM = """
import asyncio, json, sys
from finetuneflow_client import DocumentsRefused, FtfError
from finetuneflow_client.sync import FineTuneFlow, Run

server, token, folder = sys.argv[1:]

def flow():
    with FineTuneFlow.connect(server, token) as ftf:
        llm = ftf.llms.add("http://127.0.0.1:1/v1", "m")
        project = ftf.projects.create("handbook")
        files = list(project.upload(folder + "/docs"))
        dataset = project.generate(llm=llm, files=files, max_examples=64)
        run = project.train(dataset, model=folder)
        steps = [metric.step for metric in run.watch()]
        held = run.watch()  # never used up: the program ends all the same
        next(held, None)
        paths = run.export("merged").download(folder + "/out")
        try:
            ftf.projects.get("none")
        except FtfError as error:
            code = error.code
        found = [run.name for run in project.runs()]
        print(json.dumps([[str(file) for file in files], steps, run.state, len(paths), code, found, repr(run)]))
    globals()["held"] = held

async def as_in_a_notebook():
    flow()

asyncio.run(as_in_a_notebook())
"""


async def test_the_blocking_front_does_what_the_asynchronous_one_does(tmp_path: Path) -> None:
    """Also where a loop runs already; resources go in and come out, lists are iterators, errors are the same."""
    documents(tmp_path)
    async with served(World(steps=6)) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", PROGRAM, server.address, TOKEN, str(tmp_path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )
        out, messages = await process.communicate()

    assert process.returncode == 0, messages.decode()
    files, steps, state, paths, code, runs, shown = json.loads(out)
    assert len(files) == 2
    assert (steps, state, code) == ([1, 2, 3, 4, 5, 6], "succeeded", "NOT_FOUND")
    assert paths >= 3
    assert runs == ["projects/handbook/runs/r1"]
    assert shown == "<Run projects/handbook/runs/r1 succeeded>"
