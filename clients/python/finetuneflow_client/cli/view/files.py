"""Documents on their way up, and while they are read and cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuneflow_client.cli import wording
from finetuneflow_client.errors import FtfError, from_work

if TYPE_CHECKING:
    from rich.table import Table

    from finetuneflow.ingest.v1 import file_pb2


class TransferView:
    """Shows bytes going up or down, over any number of files.

    Args:
        verb: "upload" or "download".
        total: bytes in all.
    """

    def __init__(self, verb: str, total: int) -> None:
        self._verb = verb
        self._total = total
        self._before = 0
        self._now = 0
        self._name = ""
        self._told = False

    def begin(self, name: str) -> None:
        """Go on with the next file."""
        self._before += self._now
        self._now = 0
        self._name = name

    def update(self, done: int, of: int) -> None:
        """Take in how many bytes of the current file are done."""
        self._now = done
        self._told = True

    def mark(self) -> tuple[str, float]:
        """Return nothing, so that lines come by time alone: small files would make many otherwise."""
        return "", 0.0

    def line(self) -> str:
        """Return the transfer in one line: "upload: 1.2 MB of 3.0 MB, handbook.pdf", at the end "upload: 3.0 MB".

        It is empty before the first byte: what is refused at once has not begun.
        """
        if not self._told:
            return ""
        done = self._before + self._now
        if done >= self._total:
            return f"{self._verb}: {wording.size(done)}"
        return f"{self._verb}: {wording.size(done)} of {wording.size(self._total)}, {self._name}"

    def __rich__(self) -> Table:
        """Return the transfer as a bar."""
        done = self._before + self._now
        return bar(self._verb, done, self._total, f"{wording.size(done)} of {wording.size(self._total)}", self._name)


class FilesView:
    """Shows files being read or cut.

    Args:
        verb: "read" or "chunk".
        files: as they are now.
    """

    def __init__(self, verb: str, files: list[file_pb2.File]) -> None:
        self._verb = verb
        self._files = {file.name: file for file in files}
        self._ended: set[str] = set()

    def update(self, file: file_pb2.File, ended: bool) -> None:
        """Take in a file's newest state, and whether this work on it has ended."""
        self._files[file.name] = file
        if ended:
            self._ended.add(file.name)

    def mark(self) -> tuple[str, float]:
        """Return the phase and the share of the files that is done."""
        return self._verb, len(self._ended) / len(self._files) if self._files else 0.0

    def line(self) -> str:
        """Return nothing: each file gets a line of its own when it is done."""
        return ""

    def __rich__(self) -> Table:
        """Return the work as a bar with the file that is in the making."""
        current = next((f for name, f in self._files.items() if name not in self._ended), None)
        note = f"{current.display_name} {wording.progress(current.work)}" if current else ""
        done, total = len(self._ended), len(self._files)
        return bar(self._verb, done, total, f"{done}/{total} files", note)


def bar(title: str, done: float, total: float, count: str, note: str = "") -> Table:
    """Return a line with a title, a bar, a count and what is being done."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(no_wrap=True, min_width=8)
    row.add_column(ratio=2)
    row.add_column(no_wrap=True)
    row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    row.add_row(Text(title, "bold"), ProgressBar(total=total or None, completed=done), count, Text(note, "dim"))
    return row


def read_line(file: file_pb2.File) -> str:
    """Return what came of reading a file: "handbook.pdf: 12 pages, 34,567 characters"."""
    if error := failure(file):
        return str(error)
    count = file.text.count
    dropped = wording.drops([(drop.reason, drop.count) for drop in count.dropped])
    parts = [wording.many(file.text.pages, "page")] if file.text.pages else []
    parts.append(wording.many(file.text.characters, "character"))
    return f"{file.display_name}: {', '.join(parts)}" + (f"; dropped {count.stage}: {dropped}" if dropped else "")


def chunk_line(file: file_pb2.File) -> str:
    """Return what came of cutting a file: "handbook.pdf: 14 chunks, 4,012 tokens"."""
    if error := failure(file):
        return str(error)
    cut = file.chunking
    dropped = wording.drops([(drop.reason, drop.count) for drop in cut.count.dropped])
    made = f"{wording.many(cut.chunks, 'chunk')}, {wording.many(cut.tokens, 'token')}"
    return f"{file.display_name}: {made}" + (f"; dropped {cut.count.stage}: {dropped}" if dropped else "")


def tokenizer(cut: file_pb2.Chunking) -> str:
    """Return what counted the tokens: a model with the beginning of its revision, or an encoding's name."""
    name, at, revision = cut.tokenizer.partition("@")
    return name + at + revision[:12]


def failure(file: file_pb2.File) -> FtfError | None:
    """Return why a file's work did not end well; None if it did, or goes on."""
    return from_work(file.work, file.display_name)
