"""Bad documents and bad uploads: a typed error on that file alone, the others unaffected, nothing kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import pytest_asyncio

from finetuneflow.common.v1 import work_pb2
from finetuneflow.ingest.v1 import file_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from tests.fakes.documents import PROSE, docx_file, pdf, picture_pdf, zip_bomb_docx
from tests.fakes.ingesting import PROJECT, chunked, ended, ingest, parts, queue_chunks, read, reason, uploaded
from tests.fakes.running import Served, refusal

INVALID = grpc.StatusCode.INVALID_ARGUMENT
FAILED, SUCCEEDED = work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_SUCCEEDED
GOOD = pdf(f"# Pump\n\n{PROSE}")


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Any, Served]]:
    """The service with a limit of 3 MB."""
    async with ingest(tmp_path, max_upload_bytes=3_000_000) as found:
        yield found


@pytest_asyncio.fixture
async def stub(server: tuple[Any, Served]) -> Any:
    """The service's stub."""
    return server[0]


def kept(served: Served) -> list[Path]:
    """Return the files in the object store."""
    folder = Path(served.config.objects.removeprefix("file://"))
    return [path for path in folder.rglob("*") if path.is_file() and "projects" in path.parts]


async def test_each_bad_document_fails_alone(stub: Any) -> None:
    """Every kind of bad document gets its own reason and a remedy; the good ones among them are read and cut."""
    bad = {
        "encrypted.pdf": (pdf("Secret.", password="x"), "ENCRYPTED_DOCUMENT"),
        "truncated.pdf": (GOOD[: len(GOOD) * 2 // 3], "CORRUPT_DOCUMENT"),
        "scan.pdf": (picture_pdf(3), "NO_TEXT"),
        "archive.pdf": (docx_file("Hello."), "CORRUPT_DOCUMENT"),
        "text.docx": (b"just text", "CORRUPT_DOCUMENT"),
        "bomb.docx": (zip_bomb_docx(520), "EXTRACTION_LIMIT"),
        "cut.docx": (docx_file(PROSE)[:-400], "CORRUPT_DOCUMENT"),
        "latin.txt": ("Grüße".encode("latin-1"), "NOT_UTF8"),
        "binary.md": (bytes(range(256)) * 9, "CORRUPT_DOCUMENT"),
        "blank.txt": (b" \n\t\n", "NO_TEXT"),
    }
    good = {"good.pdf": GOOD, "good.md": PROSE.encode(), "bom.txt": b"\xef\xbb\xbf" + PROSE.encode()}
    names = [(await uploaded(stub, data, name)).name for name, data in good.items()]
    wrong = {name: (await uploaded(stub, data, name)).name for name, (data, _) in bad.items()}

    failed = {name: await ended(stub, wrong[name]) for name in bad}
    queued = await queue_chunks(stub)

    assert {name: reason(file) for name, file in failed.items()} == {name: why for name, (_, why) in bad.items()}
    assert all(file.work.state == FAILED and not file.HasField("text") for file in failed.values())
    assert not any("Traceback" in file.work.error.message for file in failed.values())
    assert "1-3" in failed["scan.pdf"].work.error.message
    assert {file.name for file in queued.failed_files} == set(wrong.values())
    assert [file.name for file in queued.files] == names
    assert [(await ended(stub, name)).work.state for name in names] == [SUCCEEDED] * 3


@pytest.mark.parametrize(
    ("filename", "why"),
    [
        ("../evil.txt", "BAD_FILE_NAME"),
        ("a/b.txt", "BAD_FILE_NAME"),
        ("a\\b.txt", "BAD_FILE_NAME"),
        ("a..txt", "BAD_FILE_NAME"),
        ("nul\x00.txt", "BAD_FILE_NAME"),
        ("line\nbreak.txt", "BAD_FILE_NAME"),
        ("turned\u202etxt.md", "BAD_FILE_NAME"),
        ("é" * 126 + ".txt", "BAD_FILE_NAME"),
        ("", "BAD_FILE_NAME"),
        ("program.exe", "UNSUPPORTED_FILE_TYPE"),
        ("noextension", "UNSUPPORTED_FILE_TYPE"),
        (".pdf", "UNSUPPORTED_FILE_TYPE"),
    ],
)
async def test_bad_names_are_refused_before_the_bytes(server: tuple[Any, Served], filename: str, why: str) -> None:
    """Nothing is kept, and the bytes are not even read."""
    stub, served = server

    assert await refusal(stub.UploadFile(parts(b"x", filename))) == (INVALID, why)
    assert kept(served) == []


async def test_uploads_that_are_not_what_was_announced_are_refused(server: tuple[Any, Served]) -> None:
    """Empty, too large by announcement or by its bytes, another hash, another length: nothing is kept of any."""
    stub, served = server
    right, data = hashlib.sha256(b"Hello.").hexdigest(), b"Hello."
    wrong = [
        (parts(b"", "a.txt"), "EMPTY_FILE"),
        (parts(data, "a.txt", size=3_000_001), "FILE_TOO_LARGE"),
        (parts(bytes(3_000_001), "a.txt"), "FILE_TOO_LARGE"),
        (parts(data + b"!", "a.txt", sha256=right), "HASH_MISMATCH"),
        (parts(data, "a.txt", size=7), "HASH_MISMATCH"),
        (parts(data, "a.txt", sha256="ABC"), "INVALID_FIELD"),
        (parts(data, "a.txt", size=-1), "INVALID_FIELD"),
        (iter([pb.UploadFileRequest(data=data)]), "INVALID_FIELD"),
        (iter([]), "INVALID_FIELD"),
        (iter([*parts(data, "a.txt"), *parts(data, "a.txt")]), "INVALID_FIELD"),
        (parts(bytes(1_100_000), "a.txt", step=1_100_000), "INVALID_FIELD"),
    ]
    for messages, why in wrong:
        assert await refusal(stub.UploadFile(messages)) == (INVALID, why)
    assert kept(served) == []
    assert (await uploaded(stub, data, "a.txt", sha256=right, size=6)).content.sha256 == right


async def test_nothing_is_kept_of_an_upload_that_breaks_off(server: tuple[Any, Served]) -> None:
    """The client goes away in the middle."""
    stub, served = server
    sent = asyncio.Event()

    async def endless() -> AsyncIterator[pb.UploadFileRequest]:
        for message in parts(b"x" * 2_000_000, "a.txt"):
            yield message
        sent.set()
        await asyncio.sleep(60)

    call = stub.UploadFile(endless())
    waiting = asyncio.ensure_future(call_through(call))
    await sent.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0.3)

    assert kept(served) == []
    assert (await stub.ListFiles(pb.ListFilesRequest(parent=PROJECT))).files == []


async def call_through(call: Any) -> Any:
    """Await a call; cancelling this cancels the call."""
    try:
        return await call
    except asyncio.CancelledError:
        call.cancel()
        raise


async def test_a_huge_upload_leaves_the_services_memory_flat(tmp_path: Path) -> None:
    """210 MB stream to the store block by block; its text is over the limit, which the child finds, not the service."""
    block = (b"All work and no play makes a dull text. " * 26_300)[: 1 << 20]
    process = psutil.Process()
    peak = 0

    def messages() -> Iterator[pb.UploadFileRequest]:
        nonlocal peak
        yield pb.UploadFileRequest(header=pb.UploadHeader(parent=PROJECT, filename="huge.txt"))
        for _ in range(201):
            peak = max(peak, process.memory_info().rss)
            yield pb.UploadFileRequest(data=block)

    async with ingest(tmp_path, max_upload_bytes=300_000_000) as (stub, _):
        small = await uploaded(stub, PROSE.encode(), "small.txt")
        before = process.memory_info().rss
        file = await stub.UploadFile(messages())
        huge = await ended(stub, file.name)
        after = process.memory_info().rss
        cut = await chunked(stub, small.name)

    assert file.content.size_bytes > 210_000_000
    assert reason(huge) == "EXTRACTION_LIMIT"
    assert max(peak, after) - before < 60_000_000
    assert cut[0].work.state == SUCCEEDED


async def test_a_file_over_the_real_limit_is_refused(tmp_path: Path) -> None:
    """200 MB is the limit unless the server says otherwise."""
    async with ingest(tmp_path) as (stub, served):
        header = pb.UploadHeader(parent=PROJECT, filename="a.pdf", size_bytes=200_000_001)
        too_large = await refusal(stub.UploadFile(iter([pb.UploadFileRequest(header=header)])))

    assert served.config.max_upload_bytes == 200_000_000
    assert too_large == (INVALID, "FILE_TOO_LARGE")


async def test_text_that_looks_like_an_attack_is_only_text(stub: Any) -> None:
    """Markup, entities and special tokens in a document change nothing."""
    text = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]> &e; <|endoftext|> ${HOME} {{x}} \x1b[31mred'
    file = await read(stub, text.encode(), "attack.md")
    (cut,) = await chunked(stub, file.name)
    chunks = await stub.ListChunks(pb.ListChunksRequest(parent=file.name))

    assert isinstance(cut, file_pb2.File)
    assert len(chunks.chunks) == 1
    assert chunks.chunks[0].text == text.replace("\x1b[31m", "")
