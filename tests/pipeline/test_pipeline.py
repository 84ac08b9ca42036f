"""The whole flow through `ftf` and all five services as real processes: documents in, weights out; and kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from finetuneflow_client.cli import exits
from tests.fakes import stores
from tests.fakes.llm_server import LlmServer, good
from tests.fakes.servers import started
from tests.fakes.stored import undescribed
from tests.fakes.tiny_model import tiny_model

SAMPLES = Path(__file__).parents[2] / "samples" / "documents"
DOCUMENTS = ("safety-rules.md", "wren-balance-guide.txt", "travel-policy.docx", "company-history.pdf")
STORES = ["sqlite+folder", *(pytest.param(f"mongo+{s3}", marks=pytest.mark.cluster) for s3 in ("minio", "seaweedfs"))]
QUICK = ("--max-steps", "6", "--max-length", "256", "--examples-per-chunk", "2", "--chunk-tokens", "256")


@dataclass
class Machine:
    """One state folder and what runs on it."""

    state: Path
    model: Path
    llm: LlmServer
    program: str = "services.local"
    stores: dict[str, str] = field(default_factory=dict)
    server: asyncio.subprocess.Process | None = None

    def environment(self) -> dict[str, str]:
        """Variables of every process."""
        own = {"FTF_STATE": str(self.state), "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"}
        return {**os.environ, **own, **self.stores}

    async def up(self) -> None:
        """Start `ftf up` and wait until it is ready."""
        self.server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.program, env=self.environment(), stderr=asyncio.subprocess.PIPE
        )
        assert self.server.stderr is not None
        async with asyncio.timeout(20):
            while line := await self.server.stderr.readline():
                if b"ready at" in line:
                    return
        raise AssertionError("the server did not start")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End `ftf up` by a signal."""
        if self.server and self.server.returncode is None:
            self.server.send_signal(number)
            await self.server.communicate()

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """Start an `ftf` command."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "finetuneflow_client.cli.main",
            *words,
            env=self.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def ftf(self, *words: str) -> tuple[int, str, str]:
        """Run an `ftf` command; return its exit code, its output and its messages."""
        process = await self.start(*words)
        async with asyncio.timeout(110):
            out, messages = await process.communicate()
        return process.returncode or 0, out.decode(), messages.decode()

    def whole_flow(self, output: Path, *more: str) -> tuple[str, ...]:
        """Return the words of `ftf run` on the sample documents."""
        documents = [str(SAMPLES / name) for name in DOCUMENTS]
        llm = ("--llm-url", self.llm.url, "--llm-model", "fake-model")
        return ("run", *documents, "--model", str(self.model), *llm, *QUICK, "-o", str(output), *more)

    async def json(self, *words: str) -> dict[str, list[dict[str, object]]]:
        """Run a list command and return what it prints with --json."""
        code, out, messages = await self.ftf(*words, "--json")
        assert code == 0, messages
        found: dict[str, list[dict[str, object]]] = json.loads(out)
        return found


def stores_of(kind: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the variables that name a set of stores: a fresh bucket, and fresh databases on a server of their own."""
    s3: stores.S3 = request.getfixturevalue(kind.removeprefix("mongo+"))
    return {
        "FTF_DOCUMENTS": request.getfixturevalue("own_ferretdb"),
        "FTF_OBJECTS": s3.bucket(f"p{secrets.token_hex(6)}"),
        "AWS_ACCESS_KEY_ID": s3.keys[0],
        "AWS_SECRET_ACCESS_KEY": s3.keys[1],
    }


@pytest.fixture
def own_ferretdb(tmp_path: Path) -> Iterator[str]:
    """A server of MongoDB's protocol for one test: services' databases have fixed names."""
    with started(stores.ferretdb(tmp_path / "ferretdb")) as server:
        yield f"mongodb://{server.address}"


@pytest.fixture(params=STORES)
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    llm = LlmServer(good)
    await llm.start()
    made = Machine(tmp_path / "state", tiny_model(tmp_path / "tiny"), llm)
    if request.param != "sqlite+folder":
        made.program, made.stores = "tests.pipeline.up", stores_of(request.param, request)
    await made.up()
    yield made
    if made.server and made.server.returncode is None:
        await made.ftf("down")
    await made.end(signal.SIGKILL)
    await llm.stop()


async def test_documents_become_weights_that_load_again(machine: Machine, tmp_path: Path) -> None:
    """One command: the ledger balances, both forms of the weights and the report are there; a repeat redoes nothing.

    What it stored is what the page of the document stores says.
    """
    code, _, messages = await machine.ftf(*machine.whole_flow(tmp_path / "out"))
    calls = len(machine.llm.requests)
    again, _, _ = await machine.ftf(*machine.whole_flow(tmp_path / "out"))
    datasets = await machine.json("dataset", "list")
    runs = await machine.json("runs")
    files = {p.name for p in (tmp_path / "out").rglob("*")}

    assert (code, again) == (0, 0), messages
    assert len(machine.llm.requests) == calls
    for count in datasets["datasets"][0]["counts"]:  # type: ignore[attr-defined]
        dropped = sum(int(d["count"]) for d in count.get("dropped", []))
        assert int(count.get("in", 0)) == int(count.get("out", 0)) + dropped, count
    assert len(runs["runs"]) == 1
    assert undescribed(machine.state / "documents") == set()
    assert {"report.md", "loss.png", "adapter_model.safetensors", "model.safetensors", "manifest.json"} <= files


@pytest.mark.parametrize("machine", STORES[:2], indirect=True)
async def test_kill_9_of_the_server_loses_nothing(machine: Machine, tmp_path: Path) -> None:
    """Killed while the dataset is written and again while the run trains; the same command goes on to the end."""
    command = machine.whole_flow(tmp_path / "out", "--format", "adapter", "--max-steps", "40")
    first = await machine.start(*command)
    async with asyncio.timeout(30):
        while len(machine.llm.requests) < 8:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    await machine.end(signal.SIGKILL)
    await machine.up()
    await until_training(machine)
    await machine.end(signal.SIGKILL)
    await machine.up()
    async with asyncio.timeout(110):
        _, messages = await first.communicate()
    if first.returncode:
        code, _, said = await machine.ftf(*command)
        assert code == 0, (messages.decode(), said)
    runs = (await machine.json("runs"))["runs"]
    usage = (await machine.json("dataset", "list"))["datasets"][0]["usage"]
    bought_again = len(machine.llm.requests) - int(usage["calls"])  # type: ignore[index]

    assert [r["work"]["state"] for r in runs] == ["WORK_STATE_SUCCEEDED"]  # type: ignore[index]
    assert len(runs[0]["attempts"]) == 1  # type: ignore[arg-type]
    assert bought_again <= 4  # the calls in flight when it was killed: the endpoint's max_concurrency


async def until_training(machine: Machine) -> None:
    """Wait until a run has reported a step."""
    async with asyncio.timeout(80):
        while True:
            with contextlib.suppress(AssertionError, ValueError):
                runs = (await machine.json("runs")).get("runs", [])
                if runs and "last_metrics" in runs[0]:
                    return
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("machine", ["sqlite+folder"], indirect=True)
async def test_a_second_server_on_the_same_folder_is_refused(machine: Machine) -> None:
    """One plain line, and the first is not disturbed."""
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.local", env=machine.environment(), stderr=asyncio.subprocess.PIPE
    )
    _, messages = await second.communicate()
    code, _, _ = await machine.ftf("status")

    assert second.returncode == exits.NOT_READY
    assert b"is in use" in messages
    assert b"Traceback" not in messages
    assert code == 0


@pytest.mark.parametrize("machine", ["sqlite+folder"], indirect=True)
async def test_a_port_that_is_taken_is_one_plain_line(machine: Machine, tmp_path: Path) -> None:
    """With the remedy, and exit code 1."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.local", "--state", str(tmp_path / "other"), "--port", str(port),
        env=machine.environment(), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, messages = await second.communicate()
    server.close()

    assert second.returncode == 1
    assert b"is taken" in messages
    assert b"Traceback" not in messages
