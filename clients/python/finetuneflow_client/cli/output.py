"""Results on stdout: tables for people, JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console, RenderableType


class Output:
    """Writes results.

    Args:
        stream: where to; None for stdout.
        as_json: whether results are JSON; then nothing else is written here.
    """

    def __init__(self, stream: TextIO | None = None, *, as_json: bool = False) -> None:
        self._stream = sys.stdout if stream is None else stream
        self.as_json = as_json

    def line(self, text: str = "") -> None:
        """Write a line, unless results are JSON."""
        if not self.as_json:
            print(text, file=self._stream)

    def raw(self, text: str) -> None:
        """Write text as it is."""
        self._stream.write(text)

    def flush(self) -> None:
        """Send what was written on its way."""
        self._stream.flush()

    def json(self, value: Any) -> None:
        """Write a JSON document."""
        print(json.dumps(value, indent=2, ensure_ascii=False), file=self._stream)

    def json_line(self, value: Any) -> None:
        """Write one line of JSON Lines, at once: the next may be long in coming."""
        print(json.dumps(value, ensure_ascii=False), file=self._stream, flush=True)

    def message(self, message: Message) -> None:
        """Write one protobuf message as JSON."""
        self.json(to_json(message))

    def listing(
        self, field: str, messages: Iterable[Message], columns: Sequence[str], rows: Iterable[Sequence[str]]
    ) -> None:
        """Write a list: JSON {field: [...]}, or a table."""
        if self.as_json:
            self.json({field: [to_json(m) for m in messages]})
        else:
            self.table(columns, list(rows))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write rows under headings, cut at the terminal's width; in a pipe nothing is cut, and a hash never is."""
        cuts = self._stream.isatty() and "SHA256" not in columns
        width = shutil.get_terminal_size().columns if cuts else 0
        for line in aligned([tuple(columns), *rows]):
            print(clipped(line, width) if width else line, file=self._stream)

    def facts(self, pairs: Mapping[str, object]) -> None:
        """Write a label and a value a line; empty values are left out."""
        shown = {label: str(value) for label, value in pairs.items() if value not in ("", None)}
        wide = max((len(label) for label in shown), default=0)
        for label, value in shown.items():
            first, *rest = value.splitlines() or [""]
            self.line(f"{label:<{wide}}  {first}")
            for line in rest:
                self.line(f"{'':<{wide}}  {line}")

    def saved(self, paths: Sequence[str]) -> None:
        """Write where files were saved: JSON {"files": [...]}, or a path a line."""
        if self.as_json:
            self.json({"files": list(paths)})
        for path in paths:
            self.line(path)

    def render(self, renderable: RenderableType) -> None:
        """Write something of rich's, unless results are JSON; a pipe gets 120 columns without colour."""
        if not self.as_json:
            self._console().print(renderable)

    @property
    def coloured(self) -> bool:
        """Whether colours reach whoever reads: not in a pipe, with NO_COLOR or in a dumb terminal."""
        console = self._console()
        return console.color_system is not None and not console.no_color

    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=self._stream, width=None if self._stream.isatty() else 120, highlight=False)


def to_json(message: Message) -> dict[str, Any]:
    """Return a message as protobuf JSON, with the names of the .proto files and with fields at their default."""
    # Details of a Status are Any: their types must be known to be written.
    from google.protobuf.json_format import MessageToDict
    from google.rpc import error_details_pb2  # noqa: F401  # imported to be known

    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _sorted(message.DESCRIPTOR, found)


def _sorted(form: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Return a message's JSON with the entries of its maps by key: protobuf gives them in another order each time.

    Args:
        form: the message's descriptor.
    """
    if form.file.package == "google.protobuf":
        return found  # of a form of its own
    for field in form.fields:
        value, inner = found.get(field.name), field.message_type
        if inner is None or not value:
            continue
        if inner.GetOptions().map_entry:
            of, entries = inner.fields_by_name["value"].message_type, sorted(value.items())
            found[field.name] = {key: _sorted(of, each) if of else each for key, each in entries}
        elif isinstance(value, list):
            found[field.name] = [_sorted(inner, each) if isinstance(each, dict) else each for each in value]
        elif isinstance(value, dict):
            found[field.name] = _sorted(inner, value)
    return found


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with columns below each other, two spaces between them."""
    cells = [[" ".join(str(cell).split()) for cell in row] for row in rows]
    widths = [max((breadth(cell) for cell in column), default=0) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell + " " * (width - breadth(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def breadth(text: str) -> int:
    """Return the terminal columns that a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def clipped(text: str, width: int) -> str:
    """Return a text cut to a number of terminal columns, with an ellipsis if something was cut."""
    if breadth(text) <= width:
        return text
    kept = ""
    for character in text:
        if breadth(kept) + breadth(character) > width - 1:
            break
        kept += character
    return kept + "…"
