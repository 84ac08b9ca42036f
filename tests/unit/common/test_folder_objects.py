"""What the folder of objects promises beyond the port: nothing half-written, nothing left over, errors that say why."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from services.common.errors import InvalidArgument, Unavailable
from services.common.objects import folder as folders
from services.common.objects.folder import FolderObjects

PUT = """
import asyncio, resource, sys
from services.common.errors import FineTuneFlowError
from services.common.objects.folder import FolderObjects

async def main():
    objects = FolderObjects(sys.argv[1])
    await objects.put("small", b"x" * 1000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, 2_500_000))
    async def pieces():
        for _ in range(5):
            yield b"x" * 1_000_000
    try:
        await objects.put("large", pieces())
    except FineTuneFlowError as error:
        print(type(error).__name__, error.reason, await objects.size("small"))

asyncio.run(main())
"""

PUT_AND_HANG = """
import asyncio, sys
from services.common.objects.folder import FolderObjects

async def main():
    async def pieces():
        yield b"x" * 3_000_000
        print("written", flush=True)
        await asyncio.Event().wait()
    await FolderObjects(sys.argv[1]).put("a/b", pieces())

asyncio.run(main())
"""


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_full_disk_is_exhausted_and_leaves_nothing(tmp_path: Path) -> None:
    """The unfinished file goes at once, so that its space comes back; what was there stays readable."""
    ran = subprocess.run([sys.executable, "-c", PUT, str(tmp_path)], capture_output=True, text=True, check=False)

    assert ran.stdout.split() == ["Exhausted", "DISK_FULL", "1000"], ran.stderr
    assert files(tmp_path) == ["small"]


def test_what_a_killed_writer_left_goes_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    """And not before: while the writer lives, another program that opens the folder spares its file."""
    writer = subprocess.Popen([sys.executable, "-c", PUT_AND_HANG, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    FolderObjects(tmp_path)
    while_alive = files(tmp_path)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    FolderObjects(tmp_path)

    assert len(while_alive) == 1
    assert files(tmp_path) == []


async def test_grants_are_paths_in_the_folder(tmp_path: Path) -> None:
    """A granted writer finds the folder made, and its unfinished file is no object."""
    objects = FolderObjects(tmp_path)
    path = Path(url2pathname(urlsplit(await objects.grant("runs/a=1@b/w.bin", "write")).path))
    draft = path.with_name(path.name + "~x7")
    draft.write_bytes(b"half")
    before = [key async for key in objects.list("")]
    draft.rename(path)

    assert path == objects.path("runs/a=1@b/w.bin")
    assert before == []
    assert [key async for key in objects.list("runs/")] == ["runs/a=1@b/w.bin"]
    assert url2pathname(urlsplit(await objects.grant("runs/a=1@b/w.bin", "read")).path) == str(path)


def test_old_leftovers_of_granted_writers_and_empty_folders_go(tmp_path: Path) -> None:
    """Those of today stay: their writer may be at it, or about to begin."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new, tmp_path / "empty"):
        folder.mkdir()
    for folder in (old, new):
        (folder / "w~x").write_text("half")
    yesterday = time.time() - 2 * 86_400
    for path in (old / "w~x", old, tmp_path / "empty"):
        os.utime(path, (yesterday, yesterday))
    (old / "kept").write_text("whole")
    FolderObjects(tmp_path)

    assert files(tmp_path) == ["new/w~x", "old/kept"]
    assert not (tmp_path / "empty").exists()


async def test_a_key_is_never_also_a_folder(tmp_path: Path) -> None:
    """Either order is refused, and the message says what is in the way."""
    objects = FolderObjects(tmp_path)
    await objects.put("a/b", b"1")

    with pytest.raises(InvalidArgument, match="folder"):
        await objects.put("a/b/c", b"2")
    with pytest.raises(InvalidArgument, match="folder"):
        await objects.put("a", b"3")
    with pytest.raises(InvalidArgument):
        await objects.grant("a/b/c", "write")
    assert files(tmp_path) == ["a/b"]


def test_a_root_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """The message names it."""
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="file"):
        FolderObjects(tmp_path / "file" / "objects")


async def test_a_file_that_is_opened_too_late_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for it may be gone by then, as a call whose client broke off."""
    objects = FolderObjects(tmp_path)
    await objects.put("a", b"x")
    opened: list[io.BufferedReader] = []
    first = folders._open

    def slow(path: Path, offset: int) -> io.BufferedReader:
        time.sleep(0.3)
        opened.append(first(path, offset))
        return opened[-1]

    monkeypatch.setattr(folders, "_open", slow)
    reading = asyncio.ensure_future(anext(objects.get("a")))
    await asyncio.sleep(0.1)
    reading.cancel()
    await asyncio.wait([reading])
    deadline = time.monotonic() + 10
    while not (opened and opened[0].closed):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)

    assert reading.cancelled()
