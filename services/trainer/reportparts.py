"""What a report is made of, before it is Markdown or a web page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from finetuneflow.training.v1 import evaluation_pb2


@dataclass(frozen=True)
class Span:
    """A piece of text, as it is: nothing in it is markup.

    Args:
        form: how it looks.
    """

    text: str
    form: Literal["plain", "strong", "code"] = "plain"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    spans: tuple[Span, ...]

    @staticmethod
    def of(*pieces: str | Span) -> Text:
        """Return a paragraph of pieces that follow each other."""
        return Text(tuple(piece if isinstance(piece, Span) else Span(piece) for piece in pieces))


@dataclass(frozen=True)
class Table:
    """Rows below a head; an empty head is that of names and values."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    @staticmethod
    def of_facts(rows: Sequence[tuple[str, str]]) -> Table:
        """Return a table of names and values."""
        return Table(("", ""), rows)


@dataclass(frozen=True)
class Picture:
    """A plot.

    Args:
        name: file name without suffix; it lies beside the report as PNG, and the page carries it as SVG.
        alt: what it shows, for who does not see it.
    """

    name: str
    alt: str


@dataclass(frozen=True)
class Samples:
    """Answers of both models to the same prompts."""

    answers: Sequence[evaluation_pb2.SampleAnswer]


@dataclass(frozen=True)
class Section:
    """One part of the report."""

    title: str
    blocks: Sequence[Text | Table | Picture | Samples]


@dataclass(frozen=True)
class Report:
    """A report as a whole.

    Args:
        title: the run's name.
        summary: what was done, in a sentence.
        sections: in their order; those without blocks are not shown.
    """

    title: str
    summary: Text
    sections: Sequence[Section] = field(default=())

    @property
    def shown(self) -> list[Section]:
        """The sections that have something to say."""
        return [section for section in self.sections if section.blocks]
