"""The pages of the documentation, and the blocks of commands, settings and code in them.

A block of `ftf` commands that nothing is said about is run, line after line, by tests/pipeline/test_guides.py. A
comment before any other block says what becomes of it, and no reader sees it:

    <!-- run: tests/unit/dataset/test_dataset_formats_page.py -->
    <!-- run: tests/pipeline/test_guides.py as run.yaml -->         written to that file before the commands are run
    <!-- not run: needs a cluster -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# docs/reference is made of the contract by `make docs`.
_WRITTEN = (page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "reference")
DOCS = [ROOT / "README.md", *sorted(_WRITTEN)]
WALK = "tests/pipeline/test_guides.py"
_FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>(?:not )?run: [^>]+) -->\n)?^ *```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^ *```", re.S | re.M
)
_PROGRAMS = {"ftf", "make", "python", "pip", "buf", "grpcurl", "curl", "export", "cd", "cp", "tar", "git", "npm", "go"}
_PROGRAMS |= {"helm", "kubectl", "docker", "skaffold", "mongodump", "mongorestore", "nats", "aws", "mc", "sqlite3"}
_SHELLS = {"", "sh", "bash", "shell", "console"}
_LANGUAGES = {*_SHELLS, "python", "py", "yaml", "yml", "json", "toml", "ini", "typescript", "go", "promql"} - {""}
# A comment after a command: behind a "#", or in a column of its own.
_COMMENT = re.compile(r"\s+#\s.*$|\s{3,}(?=\S).*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what it is, and what is said to become of it ("" if nothing)."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def place(self) -> str:
        """page:line, as an editor takes it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def lines(self) -> list[str]:
        """Commands without their comments; a line that goes on is one."""
        joined = re.sub(r"\s*\\\n\s*", " ", self.text).splitlines()
        bare = (_COMMENT.sub("", line.strip().removeprefix("$ ")) for line in joined)
        return [line for line in bare if line and line[0] != "#"]

    @property
    def counts(self) -> bool:
        """Whether it holds commands, settings or code, and is no drawing and nothing that a program printed."""
        programs = {line.split()[0] for line in self.lines if line.split()}
        return bool(self.mark) or self.language in _LANGUAGES or (not self.language and bool(programs & _PROGRAMS))

    @property
    def of_ftf(self) -> bool:
        """Whether each of its commands is one of `ftf`."""
        return self.language in _SHELLS and {line.split()[0] for line in self.lines} == {"ftf"}

    @property
    def run_by(self) -> str:
        """The file of the test that runs it; "" if none does."""
        if self.mark.startswith("run: "):
            return self.mark.split()[1]
        return WALK if self.of_ftf and not self.mark else ""

    @property
    def file(self) -> str:
        """The name that the walk through the pages writes it to; "" for a block of commands."""
        return self.mark.partition(" as ")[2] if self.mark.startswith(f"run: {WALK} as ") else ""

    @property
    def is_run_here(self) -> bool:
        """Whether the walk through the pages runs its commands."""
        return self.run_by == WALK and not self.file


def blocks(page: Path) -> Iterator[Block]:
    """Yield a page's fenced blocks in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        yield Block(page, line, found["language"], found["text"], found["mark"] or "")
