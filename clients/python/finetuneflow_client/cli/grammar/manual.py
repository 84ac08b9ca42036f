"""What `--help` of one command says beside its flags: a paragraph and examples, kept in manual.md."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from finetuneflow_client.cli.grammar.command import Command

_WIDTH = 100


@dataclass(frozen=True)
class Page:
    """What manual.md says of a command.

    Attributes:
        paragraph: what it does, in one paragraph.
        examples: lines to copy.
    """

    paragraph: str
    examples: tuple[str, ...]


def pages() -> dict[str, Page]:
    """Return the page of every command that manual.md has, by words such as "dataset generate"."""
    text = (Path(__file__).parents[1] / "manual.md").read_text(encoding="utf-8")
    found = {}
    for part in text.split("\n### ")[1:]:
        words, *lines = part.splitlines()
        examples = tuple(line.strip() for line in lines if line.startswith("    "))
        found[words] = Page(" ".join(line for line in lines if line and not line.startswith("    ")), examples)
    return found


def written(command: Command) -> tuple[str, str]:
    """Return what help says before and after a command's flags: sentence and paragraph, and its examples.

    Raises:
        KeyError: manual.md has no page for it.
    """
    page = pages()[command.words]
    parts = (command.sentence, page.paragraph)
    above = "\n\n".join(textwrap.fill(part, _WIDTH, break_on_hyphens=False) for part in parts)
    return above, "\n  ".join(["Examples:", command.example, *page.examples])
