"""A PDF of 10,000 pages: little memory in both processes, progress all the while, cancelling at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from pathlib import Path

import psutil

from finetuneflow.common.v1 import work_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from services.ingest.core.layout.furniture import furniture
from services.ingest.core.layout.page import Page, Run
from services.ingest.core.layout.sketch import sketched
from tests.fakes.big_pdf import big_pdf
from tests.fakes.documents import PROSE
from tests.fakes.ingesting import child_at_work, children, ended, ingest, read, uploaded

PAGES = 10_000
LINES = 45
MIB = 1 << 20


def held(process: psutil.Process) -> int:
    """Bytes of memory that are a process's share, what it has in common with others divided; 0 once it has ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


async def test_ten_thousand_pages_are_read_in_bounded_memory_and_progress_is_shown(tmp_path: Path) -> None:
    """Full pages; heads and page numbers of all are found; the service holds nothing of the document."""
    data = big_pdf(PAGES, lines=LINES)
    service = psutil.Process()
    readers_peak = service_peak = 0

    async def look() -> None:
        nonlocal readers_peak, service_peak
        child = await child_at_work()
        with contextlib.suppress(psutil.NoSuchProcess):
            while True:
                readers_peak = max(readers_peak, sum(map(held, [child, *child.children(recursive=True)])))
                service_peak = max(service_peak, service.memory_info().rss)
                await asyncio.sleep(0.1)

    async with ingest(tmp_path) as (stub, _):
        name = (await uploaded(stub, data, "big.pdf")).name
        before = service.memory_info().rss
        looking = asyncio.create_task(look())
        seen = [
            answer.file.work.progress.done
            async for answer in stub.WatchFile(pb.WatchFileRequest(name=name))
            if answer.file.work.progress.unit == "pages"
        ]
        looking.cancel()
        file = await stub.GetFile(pb.GetFileRequest(name=name))

    drops = {drop.reason for drop in file.text.count.dropped}
    assert file.work.state == work_pb2.WORK_STATE_SUCCEEDED
    assert (file.text.pages, file.text.count.out, drops) == (PAGES, PAGES, set())
    assert len(set(seen)) > 3
    assert seen == sorted(seen)
    print(f"readers {readers_peak / MIB:.0f} MiB, service {(service_peak - before) / MIB:.0f} MiB more")
    assert readers_peak < 900 * MIB
    assert service_peak - before < 60 * MIB


async def test_cancelling_a_huge_pdf_ends_its_process_and_neighbours_go_on(tmp_path: Path) -> None:
    """The file says CANCELLED and no process is left; another file is read while and after."""
    async with ingest(tmp_path) as (stub, _):
        name = (await uploaded(stub, big_pdf(PAGES, lines=3), "big.pdf")).name
        await child_at_work()
        beside = await read(stub, PROSE.encode(), "beside.txt")
        begun = time.monotonic()
        await stub.CancelFile(pb.CancelFileRequest(name=name))
        file = await ended(stub, name)
        for _ in range(1_000):
            if not children():
                break
            await asyncio.sleep(0.02)
        seconds = time.monotonic() - begun
        after = await read(stub, (PROSE + "!").encode(), "after.txt")

    print(f"cancelled after {seconds:.2f} s")
    assert seconds < 5
    assert file.work.state == work_pb2.WORK_STATE_CANCELLED
    assert children() == []
    assert {beside.work.state, after.work.state} == {work_pb2.WORK_STATE_SUCCEEDED}


def test_running_heads_of_many_pages_are_found_in_linear_time() -> None:
    """Eight times the pages take about eight times as long, not sixty-four."""

    def taken(count: int) -> float:
        pages = [
            Page(n, 595, 842, [Run(words, 72, y, 300, y + 9, 9) for words, y in ((f"Head {n}", 20), ("Text", 400))])
            for n in range(1, count + 1)
        ]
        gc.disable()  # a collection costs what all other tests have left in this process
        try:
            begun = time.process_time()
            found = furniture(list(map(sketched, pages)))
            seconds = time.process_time() - begun
        finally:
            gc.enable()
        assert len(found) == count
        return seconds

    small = min(taken(500) for _ in range(3))

    assert taken(4_000) < small * 24
