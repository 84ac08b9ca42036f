"""Which documents paths stand for, and what is passed over in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetuneflow_client.errors import FtfError

EXTENSIONS = (
    *(".pdf", ".docx", ".pptx", ".xlsx", ".odt", ".ods", ".rtf", ".epub", ".html", ".htm", ".xhtml", ".csv", ".tsv"),
    *(".json", ".jsonl", ".ndjson", ".md", ".markdown", ".txt", ".text", ".rst"),
)
ARCHIVE = ".zip"


@dataclass(frozen=True)
class Picked:
    """What paths stand for.

    Args:
        documents: documents and archives, each once.
        inside: where a document lies in the folder that was named, by its path; none for those named themselves.
        skipped: (path, why) of what is passed over in folders.
    """

    documents: Sequence[Path]
    inside: dict[Path, str]
    skipped: Sequence[tuple[str, str]]


def pick(paths: Sequence[str]) -> Picked:
    """Return files as they are, and of folders the documents and zip archives below them.

    Hidden files and folders, links and files of other types are passed over and named.

    Raises:
        FtfError: INVALID_ARGUMENT for a folder without documents.
    """
    found: list[Path] = []
    inside: dict[Path, str] = {}
    skipped: list[tuple[str, str]] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        before = len(found)
        for file, why in _below(path):
            if why:
                skipped.append((str(file), why))
                continue
            found.append(file)
            inside[file] = file.relative_to(path).as_posix()
        if len(found) == before:
            kinds = ", ".join(EXTENSIONS)
            raise FtfError(f"there are no documents in {path}", f"put {kinds} files there", code="INVALID_ARGUMENT")
    return Picked(list(dict.fromkeys(found)), inside, skipped)


def _below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file below a folder in the order of names, with the reason to pass it over, or ""."""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        path = Path(entry.path)
        if entry.name.startswith("."):
            yield path, "hidden"
        elif entry.is_symlink():
            yield path, "a link"
        elif entry.is_dir():
            yield from _below(path)
        elif not entry.is_file():
            yield path, "not a file"
        elif path.suffix.lower() not in (*EXTENSIONS, ARCHIVE):
            yield path, "not a type that is read"
        else:
            yield path, ""
