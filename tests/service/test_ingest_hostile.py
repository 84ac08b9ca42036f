"""Documents made to harm: each ends with text or a typed error, within its limits, and harms nobody else."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from finetuneflow.common.v1 import work_pb2
from services.common.confined.cold import child_environment
from services.common.confined.limits import Limits
from services.common.errors import FineTuneFlowError
from services.ingest.child import Sandbox
from services.ingest.core.filenames import sniff
from services.ingest.sandbox.job import Job
from tests.fakes.documents import PROSE, pdf
from tests.fakes.hostile import SECRET, hostile
from tests.fakes.hostile.advisories import ADVISORIES
from tests.fakes.ingesting import children, chunked, ended, ingest, reason, uploaded

MIB = 1 << 20
LIMITS = Limits(memory_bytes=600 * MIB, cpu_seconds=3, output_bytes=64 * MIB, wall_seconds=40)
NAMES = list(hostile())
READ = [(name, "") for name in NAMES] + [(name, "pypdf") for name in NAMES if hostile()[name][0].endswith(".pdf")]
"""Document and reader: "" for the first one, and PDFs by the last one, too, which gets what the others leave."""
REASONS = {"CORRUPT_DOCUMENT", "ENCRYPTED_DOCUMENT", "NO_TEXT", "NOT_UTF8", "EXTRACTION_LIMIT", "UNSUPPORTED_FILE_TYPE"}
_AT_ONCE = 3
_GOOD_EVERY = 20


@dataclass(frozen=True)
class Outcome:
    """How reading one ended: with text or an error.

    Args:
        written: bytes of the extracted text's file.
        leaks: whether another file's secret is in it.
    """

    error: FineTuneFlowError | None
    written: int
    leaks: bool


async def silent(phase: str, done: int, total: int, unit: str) -> None:
    """Hear progress and say nothing."""


async def outcome(sandbox: Sandbox, folder: Path, reader: str, filename: str, data: bytes) -> Outcome:
    """Read a document in a process of its own."""
    source, target = folder / "source", folder / "target"
    folder.mkdir()
    source.write_bytes(data)
    job = Job("extract", str(source), str(target), LIMITS, filename, sniff(data[:1024], filename), reader)
    error = None
    try:
        await sandbox.run(job, silent)
    except FineTuneFlowError as raised:
        error = raised
    text = target.read_bytes() if target.exists() else b""
    return Outcome(error, len(text), SECRET.encode() in text)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Callable[[str, str], Outcome]]:
    """Begin to read all of them, a few at a time; say how each ended as soon as it has."""
    sandbox = Sandbox(child_environment(os.environ))

    def ended(name: str, reader: str) -> Outcome:
        return asyncio.run(outcome(sandbox, Path(folder) / f"{name}-{reader}", reader, *hostile()[name]))

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        reading = {one: pool.submit(ended, *one) for one in READ}
        yield lambda name, reader: reading[name, reader].result()
        pool.shutdown(cancel_futures=True)


def test_there_are_many_kinds() -> None:
    """At least a hundred, those of all advisories among them."""
    assert len(NAMES) >= 100
    assert set(ADVISORIES.values()) <= set(NAMES)


@pytest.mark.parametrize(("name", "reader"), READ)
def test_it_ends_with_text_or_a_typed_error(outcomes: Callable[[str, str], Outcome], name: str, reader: str) -> None:
    """An error has a reason of the contract and a remedy; text stays within the limit; no other file gets in."""
    found = outcomes(name, reader)

    assert found.error is None or found.error.reason in REASONS, found.error
    assert found.error is None or "Traceback" not in found.error.message
    assert found.error is not None or found.written > 0
    assert found.written <= LIMITS.output_bytes
    assert not found.leaks


def test_no_process_is_left(outcomes: Callable[[str, str], Outcome]) -> None:
    """Whatever a document did to its reader, that reader is gone."""
    for one in READ:
        outcomes(*one)

    assert children() == []


@pytest.mark.timeout(600)
async def test_a_service_that_gets_them_goes_on(tmp_path: Path) -> None:
    """Each fails or is read alone; good files among them are read and cut; the service's memory stays as it was."""
    settings = {"ingest.memory_bytes": str(LIMITS.memory_bytes), "ingest.cpu_seconds": str(LIMITS.cpu_seconds)}
    service = psutil.Process()
    async with ingest(tmp_path / "state", settings=settings) as (stub, _):
        first = await uploaded(stub, pdf(f"# Pump\n\n{PROSE}"), "first.pdf")
        await ended(stub, first.name)
        before = service.memory_info().rss
        bad, good = [], []
        for place, (name, (filename, data)) in enumerate(hostile().items()):
            bad.append(await uploaded(stub, data, f"{name}{Path(filename).suffix}"))
            if place % _GOOD_EVERY == 0:
                good.append(await uploaded(stub, f"{PROSE} {place}".encode(), f"good-{place}.txt"))
        files = [await ended(stub, file.name) for file in bad]
        beside = [await ended(stub, file.name) for file in good]
        cut = await chunked(stub, *(file.name for file in good))
        after = service.memory_info().rss

    failed = [file for file in files if file.work.state == work_pb2.WORK_STATE_FAILED]
    assert {reason(file) for file in failed} <= REASONS
    assert {file.work.state for file in files} <= {work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_SUCCEEDED}
    assert {file.work.state for file in (*beside, *cut)} == {work_pb2.WORK_STATE_SUCCEEDED}
    assert after - before < 100 * MIB
    assert children() == []
