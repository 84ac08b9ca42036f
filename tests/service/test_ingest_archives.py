"""Archives over real gRPC: a file for each document, a reason for each member that becomes none."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from finetuneflow.common.v1 import work_pb2
from finetuneflow.ingest.v1 import ingest_service_pb2 as pb
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.main import connected
from tests.fakes.documents import PROSE, pdf
from tests.fakes.ingesting import PROJECT, ended, ingest
from tests.fakes.office import zipped
from tests.fakes.running import TOKEN, Served, refusal

INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Any, Served]]:
    """The service with a limit of 3 MB."""
    async with ingest(tmp_path, max_upload_bytes=3_000_000) as found:
        yield found


def sent(data: bytes, filename: str = "docs.zip") -> Iterator[pb.UploadArchiveRequest]:
    """Yield an archive's messages."""
    yield pb.UploadArchiveRequest(header=pb.UploadHeader(parent=PROJECT, filename=filename, size_bytes=len(data)))
    for start in range(0, len(data), 1 << 20):
        yield pb.UploadArchiveRequest(data=data[start : start + (1 << 20)])


def hostile() -> bytes:
    """Return an archive with one good document and one member for each reason to refuse one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("good.txt", "../up.txt", "/root.txt", "a/../../b.txt", "c:/d.txt", "e\\f.txt", ".hidden/g.txt"):
            archive.writestr(name, PROSE)
        archive.writestr("__MACOSX/h.txt", PROSE)
        link = zipfile.ZipInfo("link.txt")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("inner.zip", zipped({"i.txt": PROSE}))
        archive.writestr("empty.txt", "")
        archive.writestr("program.exe", "MZ")
        archive.writestr("large.txt", b" " * 4_000_000)
        archive.writestr("folder/", "")
    return out.getvalue()


def flagged(data: bytes, name: str) -> bytes:
    """Return an archive whose member says that it is encrypted."""
    found = bytearray(data)
    entry = found.find(b"PK\x01\x02")
    while name.encode() not in found[entry : entry + 46 + len(name)]:
        entry = found.find(b"PK\x01\x02", entry + 4)
    found[entry + 8] |= 1
    return bytes(found)


async def test_each_document_of_an_archive_becomes_a_file(server: tuple[Any, Served]) -> None:
    """With its path; equal members are one file; a repeat returns the same files."""
    stub, _ = server
    data = zipped({"a/guide.pdf": pdf(PROSE), "b/notes.md": "# N\n\nx", "c/notes.md": "# N\n\nx", "d/notes.md": "# M"})
    first = await stub.UploadArchive(sent(data))
    again = await stub.UploadArchive(sent(data))
    read = [await ended(stub, file.name) for file in first.files]

    assert [file.display_name for file in first.files] == ["guide.pdf", "notes.md", "notes.md"]
    assert [file.path for file in first.files] == ["docs.zip/a/guide.pdf", "docs.zip/b/notes.md", "docs.zip/d/notes.md"]
    assert [entry.path for entry in first.entries] == ["a/guide.pdf", "b/notes.md", "c/notes.md", "d/notes.md"]
    assert first.entries[1].file == first.entries[2].file != first.entries[3].file
    assert [file.name for file in again.files] == [file.name for file in first.files]
    assert all(file.work.state == work_pb2.WORK_STATE_SUCCEEDED for file in read)
    assert not any(entry.reason for entry in first.entries)


async def test_each_member_that_becomes_no_file_has_its_reason(server: tuple[Any, Served], tmp_path: Path) -> None:
    """Paths that lead out, links, archives, hidden, empty, encrypted and oversized members; nothing lands elsewhere."""
    stub, _ = server
    before = set(tmp_path.parent.iterdir())
    answer = await stub.UploadArchive(sent(hostile()))
    locked = await stub.UploadArchive(sent(flagged(zipped({"a.txt": PROSE, "b.txt": PROSE}), "b.txt")))
    broken = await stub.UploadArchive(sent(_bent(zipped({"a.txt": PROSE}))))

    assert {entry.path: entry.reason for entry in answer.entries} == {
        "good.txt": "",
        "../up.txt": "UNSAFE_PATH",
        "/root.txt": "UNSAFE_PATH",
        "a/../../b.txt": "UNSAFE_PATH",
        "c:/d.txt": "UNSAFE_PATH",
        "e\\f.txt": "UNSAFE_PATH",
        ".hidden/g.txt": "HIDDEN_ENTRY",
        "__MACOSX/h.txt": "HIDDEN_ENTRY",
        "link.txt": "LINK_ENTRY",
        "inner.zip": "NESTED_ARCHIVE",
        "empty.txt": "EMPTY_FILE",
        "program.exe": "UNSUPPORTED_FILE_TYPE",
        "large.txt": "FILE_TOO_LARGE",
    }
    assert all(bool(entry.reason) != bool(entry.file) for entry in answer.entries)
    assert all(bool(entry.reason) == bool(entry.message) for entry in answer.entries)
    assert [entry.reason for entry in locked.entries] == ["", "ENCRYPTED_DOCUMENT"]
    assert [entry.reason for entry in broken.entries] == ["CORRUPT_DOCUMENT"]
    assert set(tmp_path.parent.iterdir()) == before


def _bent(data: bytes) -> bytes:
    """Return an archive whose only member does not have its checksum."""
    entry = data.find(b"PK\x01\x02") + 16
    return data[:entry] + bytes([data[entry] ^ 1]) + data[entry + 1 :]


@pytest.mark.parametrize(
    ("data", "filename", "code", "reason"),
    [
        (b"just text", "docs.zip", INVALID, "CORRUPT_DOCUMENT"),
        (zipped({"a.txt": PROSE})[:-30], "docs.zip", INVALID, "CORRUPT_DOCUMENT"),
        (zipped({"a.txt": PROSE}), "docs.tar", INVALID, "UNSUPPORTED_FILE_TYPE"),
        (zipped({"a.txt": PROSE}), "../docs.zip", INVALID, "BAD_FILE_NAME"),
        (zipped({f"{n}.txt": b"" for n in range(10_001)}), "docs.zip", EXHAUSTED, "EXTRACTION_LIMIT"),
        (zipped({"a.txt": bytes(600_000_000)}), "docs.zip", EXHAUSTED, "EXTRACTION_LIMIT"),
    ],
)
async def test_an_archive_that_cannot_be_unpacked_makes_no_file(
    server: tuple[Any, Served], data: bytes, filename: str, code: grpc.StatusCode, reason: str
) -> None:
    """The error is the archive's own."""
    stub, _ = server
    refused = await refusal(stub.UploadArchive(sent(data, filename)))
    listed = await stub.ListFiles(pb.ListFilesRequest(parent=PROJECT))

    assert refused == (code, reason)
    assert not listed.files


async def test_a_folder_with_an_archive_is_sent_by_one_command(
    server: tuple[Any, Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ftf upload FOLDER`: each file keeps its path, and what became no file is said with the reason."""
    docs = tmp_path / "docs"
    (docs / "pumps").mkdir(parents=True)
    (docs / "pumps" / "kestrel.md").write_text("# Pump\n\nBlue.")
    (docs / "old.zip").write_bytes(zipped({"teal.txt": PROSE, "x/inner.zip": b"PK", "run.exe": b"MZ", "e.txt": ""}))
    (docs / "notes.xyz").write_text("x")
    monkeypatch.setenv("FTF_SERVER", server[1].address)
    monkeypatch.setenv("FTF_TOKEN", TOKEN)
    args = build().parse_args(["upload", str(docs), "-p", "p", "--json"])
    code = await connected(args.command, args)
    out, err = capsys.readouterr()

    assert code == exits.FAILED
    assert {file["display_name"]: file["path"] for file in json.loads(out)["files"]} == {
        "teal.txt": "old.zip/teal.txt",
        "kestrel.md": "pumps/kestrel.md",
    }
    assert f"skipped: {docs}/notes.xyz: not a type that is read" in err
    assert "skipped: old.zip/run.exe: not a type that is read" in err
    assert "old.zip/x/inner.zip: It is an archive inside an archive. Unpack it, or upload it alone." in err
    assert "old.zip/e.txt: It is empty." in err
