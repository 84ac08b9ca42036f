"""The child process: what it may use, what it sees, and how its end is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.common.confined.cold import child_environment
from services.common.confined.endings import Crashed, Killed
from services.common.confined.limits import Limits
from services.common.confined.running import Command, Hear
from services.common.errors import Exhausted, FineTuneFlowError, InvalidArgument
from services.ingest import child
from services.ingest.child import Sandbox
from services.ingest.core.filenames import PDF, PLAIN
from services.ingest.sandbox.job import OPENED, Job
from services.ingest.sandbox.pdf import read_pdf
from tests.fakes.documents import PROSE, pdf
from tests.fakes.ingesting import child_at_work, children

TEXT = f"{PROSE}\n\n".encode() * 30_000
"""Six megabytes: about a second's work."""


async def silent(phase: str, done: int, total: int, unit: str) -> None:
    """Hear progress and say nothing."""


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox for a program that has a secret in its environment."""
    return Sandbox(child_environment({**os.environ, "FTF_TOKEN": "a secret", "AWS_SECRET_ACCESS_KEY": "another"}))


def job(folder: Path, data: bytes, filename: str = "a.txt", mime_type: str = PLAIN, **limits: int) -> Job:
    """Return the job of reading a document."""
    (folder / "source").write_bytes(data)
    return Job(
        "extract", str(folder / "source"), str(folder / "target"), replace(Limits(), **limits), filename, mime_type
    )


async def with_child(sandbox: Sandbox, task: Job, act: Callable[[psutil.Process], object]) -> dict[str, object]:
    """Do a job and something to its process once it runs."""
    running = asyncio.create_task(sandbox.run(task, silent))
    act(await child_at_work())
    return await running


async def test_a_child_sees_no_secret_and_has_limits_of_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    """A session of its own, no secrets, no core, little memory, few files."""
    seen: dict[str, str] = {}

    def look(child: psutil.Process) -> None:
        for _ in range(200):  # it limits itself first thing
            seen["limits"] = Path(f"/proc/{child.pid}/limits").read_text()
            if "1610612736" in seen["limits"]:
                break
            time.sleep(0.01)
        seen["environ"] = Path(f"/proc/{child.pid}/environ").read_text()
        seen["session"] = str(os.getsid(child.pid) == child.pid)
        seen["cmdline"] = " ".join(child.cmdline())

    await with_child(sandbox, job(tmp_path, TEXT), look)
    limits = {line[:26].strip(): line[26:].split()[:2] for line in seen["limits"].splitlines()}

    assert "secret" not in seen["environ"]
    assert "AWS" not in seen["environ"]
    assert seen["session"] == "True"
    assert "a.txt" not in seen["cmdline"]
    assert limits["Max address space"] == ["1610612736"] * 2
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["64", "64"]
    assert limits["Max cpu time"] == ["600", "605"]


async def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    """kill -9 of the service leaves nothing running."""
    job(tmp_path, TEXT * 3).write(tmp_path / "job")
    program = (
        "import asyncio, os, pathlib, sys\n"
        "from services.ingest.child import Sandbox\n"
        "from services.common.confined.cold import child_environment\n"
        "from services.ingest.sandbox.job import Job\n"
        "async def silent(*said): pass\n"
        "job = Job.read(pathlib.Path(sys.argv[1]))\n"
        "asyncio.run(Sandbox(child_environment(os.environ)).run(job, silent))\n"
    )
    parent = psutil.Popen([sys.executable, "-c", program, str(tmp_path / "job")])
    for _ in range(600):
        if len(found := parent.children(recursive=True)) == 3:  # the nursery, the child, and the next one
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    for process in found:
        process.suspend()  # so that it cannot end by itself
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(found, timeout=30)

    assert (len(gone), alive) == (3, [])


async def test_being_cancelled_kills_the_child(sandbox: Sandbox, tmp_path: Path) -> None:
    """When the call has ended, the process has, too, even one that hangs."""
    running = asyncio.create_task(sandbox.run(job(tmp_path, TEXT), silent))
    (await child_at_work()).suspend()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 2)
    assert children() == []


async def test_a_crash_on_text_is_the_documents_fault(sandbox: Sandbox, tmp_path: Path) -> None:
    """A signal of the reader's own doing, such as a segmentation fault."""
    with pytest.raises(InvalidArgument, match="SIGSEGV") as caught:
        await with_child(sandbox, job(tmp_path, TEXT), lambda child: child.send_signal(signal.SIGSEGV))
    assert caught.value.reason == "CORRUPT_DOCUMENT"


async def test_where_one_reader_crashes_the_next_reads(sandbox: Sandbox, tmp_path: Path) -> None:
    """In another process, since that of the first is gone."""
    task = job(tmp_path, pdf(*[f"# Page {i}\n\n{PROSE * 12}" for i in range(60)]), "a.pdf", PDF)

    found = await with_child(
        sandbox, replace(task, reader="pypdfium2"), lambda child: child.send_signal(signal.SIGSEGV)
    )

    assert str(found["extractor"]).split()[0] == "pypdf"
    assert found["pages"] == 60
    assert (str(found["left"]).split()[0], found["left_because"]) == ("pypdfium2", "SIGSEGV")


@pytest.mark.parametrize(("pages", "broken", "following"), [(3, "pypdfium2", "pypdf"), (4, "pdf_oxide", "pypdfium2")])
async def test_a_reader_that_did_not_open_the_document_is_not_blamed(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int, broken: str, following: str
) -> None:
    """Of a short document PDFium reads all; where that crashes, it is not tried twice."""
    task = job(tmp_path, pdf(*[f"# Page {i}\n\n{PROSE}" for i in range(pages)]), "a.pdf", PDF)
    tried: list[Job] = []

    async def crash_once(_: object, command: Command, limits: Limits, hear: Hear) -> dict[str, object]:
        """Read the document in this process, as far as what it says of itself goes, and crash the first time."""
        tried.append(Job.read(command.note))
        said: list[list[object]] = []
        read_pdf(Path(task.source), tried[-1].reader, lambda *told: said.append(list(told)))
        for one in said:
            await hear(one)
        if len(tried) == 1:
            raise Crashed("SIGSEGV")
        return {"pages": pages}

    monkeypatch.setattr(child, "run", crash_once)
    told: list[str] = []

    async def tell(phase: str, *_: object) -> None:
        told.append(phase)

    found = await sandbox.run(task, tell)

    assert found == {"pages": pages}
    assert [one.reader for one in tried] == ["", following]
    assert tried[1].left.split()[0] == broken
    assert set(told) == {"extract"}


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"memory_bytes": 40_000_000}, "memory"), ({"output_bytes": 100_000}, "output"), ({"cpu_seconds": 1}, "time")],
)
async def test_limits_are_told_by_name(sandbox: Sandbox, tmp_path: Path, limits: dict[str, int], words: str) -> None:
    """Memory, output, processor time: each says what was too much."""
    task = job(tmp_path, TEXT * 6, "a.md", "text/markdown", **limits)

    with pytest.raises(Exhausted, match=words) as caught:
        await sandbox.run(task, silent)
    assert caught.value.reason == "EXTRACTION_LIMIT"


async def test_progress_is_told_while_the_child_works(sandbox: Sandbox, tmp_path: Path) -> None:
    """By pages, up to the last."""
    told: list[tuple[str, int, int, str]] = []

    async def hear(phase: str, done: int, total: int, unit: str) -> None:
        told.append((phase, done, total, unit))

    await sandbox.run(job(tmp_path, pdf("One.", "Two."), "a.pdf", PDF), hear)

    assert told[-1] == ("extract", 2, 2, "pages")


async def test_a_mistake_in_cutting_is_ours_and_no_traceback_gets_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """The log has the details; the message has the remedy."""
    (tmp_path / "source").write_text(json.dumps({"schema": 99}))
    task = Job("cut", str(tmp_path / "source"), str(tmp_path / "target"), Limits(), max_tokens=64)

    with pytest.raises(FineTuneFlowError) as caught:
        await sandbox.run(task, silent, {"TIKTOKEN_CACHE_DIR": "/nowhere"})
    assert caught.value.reason == "INTERNAL"
    assert "schema" not in caught.value.message


def test_the_program_needs_no_package_of_a_service() -> None:
    """Reading a text loads neither gRPC nor protobuf: less to start, less to break."""
    program = (
        "import sys, services.ingest.sandbox.__main__, services.ingest.sandbox.extract, services.ingest.sandbox.cut;"
        "print(sorted({'grpc', 'google.protobuf', 'docx', 'pypdfium2', 'tokenizers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("endings", "reader", "words"),
    [
        ([Killed("SIGKILL"), Crashed("SIGSEGV")], "pypdfium2", ""),
        ([Crashed("SIGSEGV"), Killed("SIGKILL"), Crashed("SIGSEGV")], "pypdf", ""),
        ([Killed("SIGKILL"), Killed("SIGKILL")], "", "killed twice"),
        ([Killed("SIGKILL"), Crashed("SIGSEGV"), Killed("SIGKILL")], "pypdfium2", "killed twice"),
        ([Killed("SIGKILL"), *[Crashed("SIGSEGV")] * 2, Crashed("SIGABRT")], "pypdf", "SIGABRT"),
    ],
)
async def test_a_kill_and_a_crash_have_tries_of_their_own(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path, endings: list[Exception], reader: str, words: str
) -> None:
    """A process that was killed is started once more, and the other readers still have their turns."""
    left, asked = list(endings), []

    async def end(warm: object, command: Command, limits: Limits, hear: Hear) -> dict[str, object]:
        await hear([OPENED, 0, 0, "pdf_oxide"])
        asked.append(Job.read(command.note).reader)
        if left:
            raise left.pop(0)
        return {"pages": 1}

    monkeypatch.setattr(child, "run", end)
    doing = sandbox.run(job(tmp_path, b"", "a.pdf", PDF), silent)

    if words:
        with pytest.raises(FineTuneFlowError, match=words):
            await doing
    else:
        assert await doing == {"pages": 1}
    assert left == []
    assert asked[-1] == reader
