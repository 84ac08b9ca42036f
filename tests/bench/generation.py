"""What generation reaches of the ideal: python -m tests.bench.generation [--quick] [--calls N] [--latency S …]

The dataset service makes calls, 256 in flight, to an LLM server in another process that answers after about as many
seconds as --latency says, one table for each; without it those of docs/generation.md, about eleven minutes. Each call
takes CPU too, so that the share of the ideal depends on the latency. Replies are recorded, judged and stored. Ideal is
calls x mean latency / 256; "calls" is from the first request to the last answer, "all around them" until the dataset is
frozen. Beside it, in the same run, a bare loop that makes the same calls by the same HTTP library and does nothing with
the replies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes import llm_server
from tests.fakes.datasets import dataset_service, endpoint, state, wanted
from tests.fakes.ingest import SUBJECTS, Ingest, library

AT_ONCE = 256
DOCUMENTED = {4.0: 10_000, 8.0: 5_120}
"""Latencies in seconds, and calls, of the tables in docs/generation.md."""
PER_CHUNK = 3
CHUNKS = 20
"""Of each document."""
BUSY = b"HTTP/1.1 429 Busy\r\nretry-after: 0.05\r\ncontent-length: 2\r\n\r\n{}"
SPREAD = 0.1
"""How far a call's latency is from the mean at most, as a share of it."""

Times = Any
"""An array in shared memory: when the first request came and the last answer went, by the system's monotonic clock."""


class Answering(asyncio.Protocol):
    """One connection of the LLM server: small, so that the server is not what is measured."""

    at_once = 0
    """Requests that the server is at, over all connections."""

    def __init__(self, latency: float, capacity: int, times: Times) -> None:
        self._latency = latency
        self._times = times
        self._capacity = capacity
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request after its latency."""
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            at = head.lower().find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n")[0]) if found and at >= 0 else 0
            if not found or len(rest) < size:
                return
            body, self._data = rest[:size], rest[size:]
            if self._capacity and Answering.at_once >= self._capacity:
                self._transport.write(BUSY)  # type: ignore[attr-defined]  # a transport that writes
                continue
            Answering.at_once += 1
            self._times[0] = self._times[0] or time.monotonic()
            pause = self._latency * random.uniform(1 - SPREAD, 1 + SPREAD)
            asyncio.get_running_loop().call_later(pause, self._done, _answer(json.loads(body)))

    def _done(self, answer: bytes) -> None:
        Answering.at_once -= 1
        self._times[1] = time.monotonic()
        self._transport.write(answer)  # type: ignore[attr-defined]  # a transport that writes


def _answer(body: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(llm_server.example(llm_server.Request(0, {}, body)))
    except IndexError:
        text = "{}"
    message = {"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 600, "completion_tokens": 60}}
    content = json.dumps(message).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def _serve(latency: float, capacity: int, ready: Connection, times: Times) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answering(latency, capacity, times), "127.0.0.1", 0, backlog=1024)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def llm(latency: float, capacity: int = 0) -> Iterator[tuple[str, Times]]:
    """An LLM server in a process of its own; yields its base URL, and when it was first asked and last answered.

    Args:
        capacity: requests at once above which it answers 429, with a Retry-After of 0.05 s; 0 for any number.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    times = context.Array("d", 2, lock=False)
    process = context.Process(target=_serve, args=(latency, capacity, there, times), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/v1", times
    finally:
        process.terminate()
        process.join()


async def bare(url: str, calls: int) -> float:
    """Make calls in a bare loop; return the seconds that they took."""
    text = "Passage: It weighs ten kilograms when it is empty.\n" + "A rule that the answer has to keep to. " * 60
    body = {"model": "m", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": text}]}
    left = iter(range(calls))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for _ in left:
                async with session.post(url + "/chat/completions", json=body) as answer:
                    json.loads(await answer.read())

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return time.perf_counter() - began


async def service(url: str, calls: int, folder: Path) -> tuple[dataset_pb2.Dataset, float, float, float]:
    """Generate a dataset; return it, the CPU seconds, and the memory in MB before and at most."""
    process = psutil.Process()
    documents = _documents(-(-calls // PER_CHUNK // CHUNKS))
    async with dataset_service(folder, None, documents) as (stub, _):
        made = endpoint(_Url(url), max_concurrency=AT_ONCE, timeout_seconds=60)  # type: ignore[arg-type]  # its URL is all that is asked
        await stub.CreateLlmEndpoint(made)
        before = most = process.memory_info().rss / 1e6
        cpu = sum(process.cpu_times()[:2])
        dataset = await stub.CreateDataset(wanted(max_tokens=64))
        async for update in stub.WatchDataset(pb.WatchDatasetRequest(name=dataset.name)):
            dataset, most = update.dataset, max(most, process.memory_info().rss / 1e6)
        return dataset, sum(process.cpu_times()[:2]) - cpu, before, most


def _documents(files: int) -> Ingest:
    """Return documents about things whose names have nothing in common: their texts are no near duplicates."""
    found = library(files, CHUNKS)
    for place, (name, chunks) in enumerate(found.files.items()):
        numbers = range(place * CHUNKS, (place + 1) * CHUNKS)
        found.files[name] = [_named(text, number) for text, number in zip(chunks, numbers, strict=True)]
    found.page = 200
    return found


def _named(text: str, number: int) -> str:
    chance = random.Random(number)
    words = ("".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(5)) for _ in range(2))
    return re.sub(rf"{SUBJECTS[number % len(SUBJECTS)]}(?: mark \d+)?", " ".join(words).title(), text)


class _Url:
    def __init__(self, url: str) -> None:
        self.url = url


def main() -> None:
    """Print a table for each latency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,560 calls a table")
    parser.add_argument(
        "--calls", type=int, default=0, help="calls a table; otherwise 5,120 of 8 s and 10,000 of others"
    )
    parser.add_argument("--latency", type=float, nargs="+", default=list(DOCUMENTED), help="seconds; default: 4 8")
    args = parser.parse_args()
    for latency in args.latency:
        measure(latency, args.calls or (2560 if args.quick else DOCUMENTED.get(latency, 10_000)))


def measure(latency: float, calls: int) -> None:
    """Make so many calls of so many seconds; print the table."""
    with llm(latency) as (url, times), tempfile.TemporaryDirectory() as folder:
        peer = asyncio.run(bare(url, calls))
        times[0] = 0
        dataset, cpu, before, most = asyncio.run(service(url, calls, Path(folder)))
    usage = dataset.usage
    ideal, own = calls * latency / AT_ONCE, usage.calls * latency / AT_ONCE
    load = f"{psutil.cpu_count()} CPUs, load {psutil.getloadavg()[0]:.1f}"
    print(f"{AT_ONCE} calls in flight, {latency:g} s each on average; {load}")
    print(f"{'':24} {'calls':>7} {'seconds':>8} {'calls/s':>8} {'of the ideal':>13}")
    _row("bare loop", calls, peer, ideal)
    _row("dataset service: calls", usage.calls, times[1] - times[0], own)
    _row("and all around them", usage.calls, usage.seconds, own)
    each = f"{cpu / usage.calls * 1e3:.2f} ms of CPU a call"
    print(f"{state(dataset)}, {dataset.counts[-1].out:,} accepted, {usage.retries} retries; {each}")
    print(f"memory {before:.0f} MB before, {most:.0f} MB at most: the service, its stores and its documents' fake")


def _row(name: str, calls: int, seconds: float, ideal: float) -> None:
    print(f"{name:24} {calls:7,} {seconds:8.1f} {calls / seconds:8.1f} {ideal / seconds:13.3f}")


if __name__ == "__main__":
    main()
