"""What the pace makes of servers of unknown capacity: python -m tests.bench.capacity [--calls N]

Each server, in another process, refuses with 429 and a Retry-After what is above its capacity. The client begins with
4 calls in flight and finds out how many there may be. Wasted calls are those that were refused. Twice as many tasks as
may be in flight keep asking.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from services.dataset.llm import Endpoint, LlmClient
from tests.bench.generation import llm

CAPACITIES = (12, 48, 120)
MOST = 256
PER_SECOND = 120
"""Calls a second that a server at its capacity answers: few enough for two CPUs to be at leisure."""
_TEXT = "Ask about this passage.\nPassage: It weighs ten kilograms when it is empty."


async def paced(url: str, calls: int) -> tuple[int, int, float]:
    """Make calls; return the limit at the end, the calls that were refused, and the seconds."""
    client = LlmClient(Endpoint("llmEndpoints/e", url, "m", MOST, 60, json_mode="TEXT", adaptive=True))
    left, refused = iter(range(calls)), 0

    async def work() -> None:
        nonlocal refused
        for number in left:
            message = [{"role": "user", "content": _TEXT}]
            reply = await client.complete(message, {}, temperature=0, max_tokens=9, seed=number, patience=60)
            refused += reply.retries

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(2 * MOST)))
    seconds = time.perf_counter() - began
    await client.close()
    return client.slots.pace.limit, refused, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="of each server")
    args = parser.parse_args()
    print(f"{'capacity':>8} {'found':>6} {'calls':>7} {'wasted':>7} {'of the ideal':>13}")
    for capacity in CAPACITIES:
        latency = capacity / PER_SECOND
        with llm(latency, capacity) as (url, _):
            found, refused, seconds = asyncio.run(paced(url, args.calls))
        share = refused / (args.calls + refused)
        ideal = args.calls * latency / capacity
        print(f"{capacity:8} {found:6} {args.calls:7,} {share:7.2%} {ideal / seconds:13.3f}", flush=True)


if __name__ == "__main__":
    main()
